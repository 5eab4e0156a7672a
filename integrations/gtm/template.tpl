___TERMS_OF_SERVICE___

By creating or modifying this file you agree to Google Tag Manager's Community
Template Gallery Developer Terms of Service available at
https://developers.google.com/tag-manager/gallery-tos (or such other URL as
Google may provide), as modified from time to time.


___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Stackfluence",
  "categories": [
    "AFFILIATE_MARKETING",
    "ATTRIBUTION",
    "CONVERSIONS"
  ],
  "brand": {
    "id": "brand_dummy",
    "displayName": "Stackfluence"
  },
  "description": "Tells your Stackfluence which creator's link a visitor came by, what they looked at and what they bought. Waits for consent; works with your own endpoint.",
  "containerContexts": [
    "WEB"
  ]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "SELECT",
    "name": "command",
    "displayName": "What to tell",
    "simpleValueType": true,
    "defaultValue": "visit",
    "macrosInSelect": false,
    "selectItems": [
      {
        "value": "visit",
        "displayValue": "Visits (loads sf.js; fire on all pages)"
      },
      {
        "value": "conversion",
        "displayValue": "An order or another goal"
      },
      {
        "value": "refund",
        "displayValue": "A refund"
      },
      {
        "value": "identify",
        "displayValue": "Who the customer is"
      }
    ],
    "help": "One tag of the first kind is needed on every page. The others may fire before it: they wait for it."
  },
  {
    "type": "TEXT",
    "name": "endpoint",
    "displayName": "Endpoint",
    "simpleValueType": true,
    "help": "The address of your Stackfluence, or of the proxy path on your own site: https://go.brand.example. sf.js is loaded from there.",
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "visit",
        "type": "EQUALS"
      }
    ],
    "valueValidators": [
      {
        "type": "NON_EMPTY"
      },
      {
        "type": "REGEX",
        "args": [
          "^https://[^?#]+$"
        ],
        "errorMessage": "It begins with https:// and has no query."
      }
    ]
  },
  {
    "type": "TEXT",
    "name": "organization",
    "displayName": "Organization",
    "simpleValueType": true,
    "help": "The organization_id, org_…. It is public.",
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "visit",
        "type": "EQUALS"
      }
    ],
    "valueValidators": [
      {
        "type": "NON_EMPTY"
      }
    ]
  },
  {
    "type": "TEXT",
    "name": "key",
    "displayName": "Publishable key",
    "simpleValueType": true,
    "help": "Optional, sf_pub_…: a key of this site's own that can be revoked alone. Never a secret key.",
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "visit",
        "type": "EQUALS"
      }
    ],
    "valueValidators": [
      {
        "type": "REGEX",
        "args": [
          "^(?!sf_sec_).*$"
        ],
        "errorMessage": "This is a secret key: it must never be in a page. Revoke it."
      }
    ]
  },
  {
    "type": "SELECT",
    "name": "consent",
    "displayName": "Consent",
    "simpleValueType": true,
    "defaultValue": "gtm",
    "selectItems": [
      {
        "value": "gtm",
        "displayValue": "Wait for consent mode to grant the type below"
      },
      {
        "value": "page",
        "displayValue": "Wait until the page itself calls sfq('consent', 'granted')"
      },
      {
        "value": "none",
        "displayValue": "Don't wait (Global Privacy Control is still obeyed)"
      }
    ],
    "help": "While it waits, nothing is stored in the browser and no visit is told. Orders that servers report count all the same.",
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "visit",
        "type": "EQUALS"
      }
    ]
  },
  {
    "type": "SELECT",
    "name": "consentType",
    "displayName": "Consent type",
    "simpleValueType": true,
    "defaultValue": "analytics_storage",
    "selectItems": [
      {
        "value": "analytics_storage",
        "displayValue": "analytics_storage"
      },
      {
        "value": "ad_storage",
        "displayValue": "ad_storage"
      }
    ],
    "enablingConditions": [
      {
        "paramName": "consent",
        "paramValue": "gtm",
        "type": "EQUALS"
      }
    ]
  },
  {
    "type": "TEXT",
    "name": "crossDomain",
    "displayName": "Other domains of the shop",
    "simpleValueType": true,
    "help": "Optional: domains to which the click ID is handed over in links and forms, checkout.example say, separated by spaces.",
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "visit",
        "type": "EQUALS"
      }
    ]
  },
  {
    "type": "CHECKBOX",
    "name": "isFromDataLayer",
    "checkboxText": "Take the order from the data layer's `ecommerce` object (GA4's purchase event)",
    "simpleValueType": true,
    "defaultValue": true,
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "conversion",
        "type": "EQUALS"
      }
    ],
    "help": "transaction_id, value, currency, tax, shipping, coupon and items. What is filled in below wins."
  },
  {
    "type": "SELECT",
    "name": "eventType",
    "displayName": "Goal",
    "simpleValueType": true,
    "defaultValue": "purchase",
    "selectItems": [
      {
        "value": "purchase",
        "displayValue": "purchase"
      },
      {
        "value": "signup",
        "displayValue": "signup"
      },
      {
        "value": "lead",
        "displayValue": "lead"
      },
      {
        "value": "add_to_cart",
        "displayValue": "add_to_cart"
      },
      {
        "value": "custom",
        "displayValue": "custom"
      }
    ],
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "conversion",
        "type": "EQUALS"
      }
    ]
  },
  {
    "type": "TEXT",
    "name": "orderId",
    "displayName": "Order id",
    "simpleValueType": true,
    "help": "The shop's own number of the order, as its server reports it, so that both are one order.",
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "conversion",
        "type": "EQUALS"
      },
      {
        "paramName": "command",
        "paramValue": "refund",
        "type": "EQUALS"
      }
    ]
  },
  {
    "type": "TEXT",
    "name": "amount",
    "displayName": "Amount",
    "simpleValueType": true,
    "help": "Of the order or of this refund, as a number: 49.99.",
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "conversion",
        "type": "EQUALS"
      },
      {
        "paramName": "command",
        "paramValue": "refund",
        "type": "EQUALS"
      }
    ]
  },
  {
    "type": "SELECT",
    "name": "amountUnit",
    "displayName": "The amount is in",
    "simpleValueType": true,
    "defaultValue": "major",
    "selectItems": [
      {
        "value": "major",
        "displayValue": "the currency: 49.99"
      },
      {
        "value": "minor",
        "displayValue": "its smallest unit: 4999"
      }
    ],
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "conversion",
        "type": "EQUALS"
      },
      {
        "paramName": "command",
        "paramValue": "refund",
        "type": "EQUALS"
      }
    ]
  },
  {
    "type": "TEXT",
    "name": "currency",
    "displayName": "Currency",
    "simpleValueType": true,
    "help": "ISO 4217: EUR. Empty: of the data layer, else your organization's.",
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "conversion",
        "type": "EQUALS"
      },
      {
        "paramName": "command",
        "paramValue": "refund",
        "type": "EQUALS"
      }
    ]
  },
  {
    "type": "TEXT",
    "name": "couponCodes",
    "displayName": "Coupon codes",
    "simpleValueType": true,
    "help": "All codes of the order, a list or a text separated by commas.",
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "conversion",
        "type": "EQUALS"
      }
    ]
  },
  {
    "type": "TEXT",
    "name": "customerId",
    "displayName": "Customer id",
    "simpleValueType": true,
    "help": "The shop's own id of the customer; kept as a pseudonym alone.",
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "conversion",
        "type": "EQUALS"
      },
      {
        "paramName": "command",
        "paramValue": "identify",
        "type": "EQUALS"
      }
    ]
  },
  {
    "type": "TEXT",
    "name": "email",
    "displayName": "E-mail address",
    "simpleValueType": true,
    "help": "Hashed in the browser before it is sent.",
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "identify",
        "type": "EQUALS"
      }
    ]
  },
  {
    "type": "TEXT",
    "name": "refundId",
    "displayName": "Refund id",
    "simpleValueType": true,
    "help": "The shop's own id of this refund: without it a reloaded page would tell of a second one.",
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "refund",
        "type": "EQUALS"
      }
    ],
    "valueValidators": [
      {
        "type": "NON_EMPTY"
      }
    ]
  },
  {
    "type": "CHECKBOX",
    "name": "isTest",
    "checkboxText": "This is a test",
    "simpleValueType": true,
    "defaultValue": false,
    "enablingConditions": [
      {
        "paramName": "command",
        "paramValue": "conversion",
        "type": "EQUALS"
      },
      {
        "paramName": "command",
        "paramValue": "refund",
        "type": "EQUALS"
      }
    ]
  }
]


___SANDBOXED_JS_FOR_WEB_TEMPLATE___

const addConsentListener = require('addConsentListener');
const copyFromDataLayer = require('copyFromDataLayer');
const createArgumentsQueue = require('createArgumentsQueue');
const getType = require('getType');
const injectScript = require('injectScript');
const isConsentGranted = require('isConsentGranted');
const log = require('logToConsole');
const makeNumber = require('makeNumber');
const makeString = require('makeString');
const Math = require('Math');

// sf.js reads this queue when it comes; when it is there already, sfq is its own function
const sfq = createArgumentsQueue('sfq', 'sfq.q');

// ISO 4217: how many decimal digits a currency has where that isn't two
const DIGITS = {
  BIF: 0, CLP: 0, DJF: 0, GNF: 0, ISK: 0, JPY: 0, KMF: 0, KRW: 0, PYG: 0, RWF: 0, UGX: 0, UYI: 0, VND: 0, VUV: 0,
  XAF: 0, XOF: 0, XPF: 0, BHD: 3, IQD: 3, JOD: 3, KWD: 3, LYD: 3, OMR: 3, TND: 3, CLF: 4, UYW: 4
};

const isGiven = (value) => value !== undefined && value !== null && value !== '';

const firstOf = (value, otherwise) => isGiven(value) ? value : otherwise;

// What is no number goes out as it is: the server keeps it and says so, in GET /v1/install/check too.
const minorUnits = (amount, currency) => {
  if (!isGiven(amount)) return undefined;
  const number = makeNumber(amount);
  if (number !== number) return makeString(amount);
  const digits = DIGITS[makeString(currency || '').toUpperCase()];
  return Math.round(number * Math.pow(10, digits === undefined ? 2 : digits));
};

const given = (amount, currency) =>
  data.amountUnit === 'minor' && isGiven(amount) ? makeNumber(amount) : minorUnits(amount, currency);

const codesOf = (codes) => {
  if (!isGiven(codes)) return undefined;
  const list = getType(codes) === 'array' ? codes : makeString(codes).split(',');
  return list.map((code) => makeString(code).trim()).filter((code) => code !== '');
};

// GA4 counts a unit's price after its discount
const lineOf = (item, currency) => {
  const quantity = makeNumber(firstOf(item.quantity, 1));
  const discount = minorUnits(firstOf(item.discount, 0), currency);
  return {
    sku: makeString(firstOf(item.item_id, '')),
    quantity: quantity,
    subtotal_cents: (minorUnits(firstOf(item.price, 0), currency) + discount) * quantity,
    discount_cents: discount * quantity
  };
};

const visit = () => {
  let endpoint = makeString(data.endpoint).trim();
  while (endpoint.slice(-1) === '/') endpoint = endpoint.slice(0, -1);
  sfq('config', {
    org: data.organization,
    key: data.key || undefined,
    endpoint: endpoint,
    consent: data.consent === 'none' ? undefined : 'required',
    crossDomain: data.crossDomain || undefined
  });
  if (data.consent === 'gtm') {
    // not yet granted is not denied: the visitor may be looking at the question
    if (isConsentGranted(data.consentType)) sfq('consent', 'granted');
    addConsentListener(data.consentType, (type, isGranted) => sfq('consent', isGranted ? 'granted' : 'denied'));
  }
  const url = endpoint + '/sf.js';
  const onFailure = () => {
    log('Stackfluence: ' + url + ' could not be loaded.');
    data.gtmOnFailure();
  };
  injectScript(url, data.gtmOnSuccess, onFailure, url);
};

const conversion = () => {
  const order = data.isFromDataLayer && copyFromDataLayer('ecommerce') || {};
  const currency = firstOf(data.currency, order.currency);
  const items = getType(order.items) === 'array' ? order.items : [];
  sfq('conversion', {
    event_type: data.eventType,
    order_id: firstOf(data.orderId, order.transaction_id),
    revenue_cents: isGiven(data.amount) ? given(data.amount, currency) : minorUnits(order.value, currency),
    currency: currency,
    tax_cents: minorUnits(order.tax, currency),
    shipping_cents: minorUnits(order.shipping, currency),
    lines: items.length ? items.map((item) => lineOf(item, currency)) : undefined,
    coupon_codes: codesOf(firstOf(data.couponCodes, order.coupon)),
    customer_id: data.customerId || undefined,
    is_test: data.isTest ? true : undefined
  });
};

const refund = () => {
  sfq('refund', {
    idempotency_key: isGiven(data.refundId) ? 'refund/' + makeString(data.refundId) : undefined,
    original_order_id: data.orderId,
    refund_amount_cents: given(data.amount, data.currency),
    currency: data.currency || undefined,
    is_test: data.isTest ? true : undefined
  });
};

const identify = () => {
  sfq('identify', { customer_id: data.customerId || undefined, email: data.email || undefined });
};

if (data.command === 'visit') {
  visit();
} else {
  const tell = { conversion: conversion, refund: refund, identify: identify }[data.command];
  tell();
  data.gtmOnSuccess();
}


___WEB_PERMISSIONS___

[
  {
    "instance": {
      "key": {
        "publicId": "inject_script",
        "versionId": "1"
      },
      "param": [
        {
          "key": "urls",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 1,
                "string": "https://*/"
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "access_globals",
        "versionId": "1"
      },
      "param": [
        {
          "key": "keys",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "key"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  },
                  {
                    "type": 1,
                    "string": "execute"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "sfq"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "key"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  },
                  {
                    "type": 1,
                    "string": "execute"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "sfq.q"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "access_consent",
        "versionId": "1"
      },
      "param": [
        {
          "key": "consentTypes",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "consentType"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "analytics_storage"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "consentType"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "ad_storage"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "read_data_layer",
        "versionId": "1"
      },
      "param": [
        {
          "key": "allowedKeys",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "keyPatterns",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 1,
                "string": "ecommerce"
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "logging",
        "versionId": "1"
      },
      "param": [
        {
          "key": "environments",
          "value": {
            "type": 1,
            "string": "debug"
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  }
]


___TESTS___

scenarios:
- name: A visit loads sf.js once and says whose page it is
  code: |-
    runCode(visit);

    assertThat(commands).isEqualTo([['config', {
      org: 'org_0000001', key: undefined, endpoint: 'https://go.brand.example', consent: undefined,
      crossDomain: undefined
    }]]);
    assertThat(loaded).isEqualTo(['https://go.brand.example/sf.js', 'https://go.brand.example/sf.js']);
    assertApi('isConsentGranted').wasNotCalled();
    assertApi('gtmOnSuccess').wasCalled();
    assertApi('gtmOnFailure').wasNotCalled();
- name: A proxy path of the site, a key and other domains are handed on
  code: |-
    visit.endpoint = ' https://www.brand.example/sf// ';
    visit.key = 'sf_pub_x';
    visit.crossDomain = 'checkout.example';
    visit.consent = 'page';
    runCode(visit);

    assertThat(commands[0][1]).isEqualTo({
      org: 'org_0000001', key: 'sf_pub_x', endpoint: 'https://www.brand.example/sf', consent: 'required',
      crossDomain: 'checkout.example'
    });
    assertThat(commands.length).isEqualTo(1);
    assertThat(loaded[0]).isEqualTo('https://www.brand.example/sf/sf.js');
- name: A consent that is there already is told at once
  code: |-
    mock('isConsentGranted', (type) => type === 'ad_storage');
    mock('addConsentListener', () => undefined);
    visit.consent = 'gtm';
    visit.consentType = 'ad_storage';
    runCode(visit);

    assertThat(commands.map((command) => command[0])).isEqualTo(['config', 'consent']);
    assertThat(commands[0][1].consent).isEqualTo('required');
    assertThat(commands[1][1]).isEqualTo('granted');
- name: A consent that comes, or goes, later is told then, and nothing before
  code: |-
    let listener;
    mock('isConsentGranted', false);
    mock('addConsentListener', (type, then) => {
      assertThat(type).isEqualTo('analytics_storage');
      listener = then;
    });
    visit.consent = 'gtm';
    visit.consentType = 'analytics_storage';
    runCode(visit);
    assertThat(commands.length).isEqualTo(1);

    listener('analytics_storage', true);
    listener('analytics_storage', false);
    assertThat(commands.slice(1)).isEqualTo([['consent', 'granted'], ['consent', 'denied']]);
- name: A script that can't be loaded is a failure
  code: |-
    mock('injectScript', (url, onSuccess, onFailure) => onFailure());
    runCode(visit);

    assertApi('gtmOnFailure').wasCalled();
    assertApi('gtmOnSuccess').wasNotCalled();
- name: A GA4 purchase becomes an order in minor units
  code: |-
    mock('copyFromDataLayer', (key) => key === 'ecommerce' ? purchase : undefined);
    runCode({ command: 'conversion', eventType: 'purchase', isFromDataLayer: true, amountUnit: 'major' });

    assertThat(commands).isEqualTo([['conversion', {
      event_type: 'purchase', order_id: '1001', revenue_cents: 4999, currency: 'EUR', tax_cents: 699,
      shipping_cents: 300,
      lines: [{ sku: 'SOCK-RED', quantity: 3, subtotal_cents: 4500, discount_cents: 300 }],
      coupon_codes: ['EMMA10'], customer_id: undefined, is_test: undefined
    }]]);
    assertApi('injectScript').wasNotCalled();
    assertApi('gtmOnSuccess').wasCalled();
- name: What is filled in wins over the data layer
  code: |-
    mock('copyFromDataLayer', purchase);
    runCode({
      command: 'conversion', eventType: 'purchase', isFromDataLayer: true, amountUnit: 'minor', amount: '5000',
      orderId: 'A-1', currency: 'usd', couponCodes: 'EMMA10, ,NOAH5', customerId: 'c-17', isTest: true
    });

    const told = commands[0][1];
    assertThat(told.revenue_cents).isEqualTo(5000);
    assertThat(told.order_id).isEqualTo('A-1');
    assertThat(told.currency).isEqualTo('usd');
    assertThat(told.coupon_codes).isEqualTo(['EMMA10', 'NOAH5']);
    assertThat(told.customer_id).isEqualTo('c-17');
    assertThat(told.is_test).isTrue();
- name: Currencies without cents and with thousandths keep their amounts
  code: |-
    const amounts = [['JPY', '5000', 5000], ['kwd', 1.234, 1234], ['EUR', '0.29', 29], [undefined, 10, 1000]];
    amounts.forEach((row) => {
      runCode({ command: 'conversion', eventType: 'purchase', amountUnit: 'major', amount: row[1], currency: row[0] });
    });

    assertThat(commands.map((command) => command[1].revenue_cents)).isEqualTo(amounts.map((row) => row[2]));
- name: What is no number is left for the server to say
  code: |-
    runCode({ command: 'conversion', eventType: 'purchase', amountUnit: 'major', amount: '49,99', orderId: '1' });
    runCode({ command: 'conversion', eventType: 'signup', amountUnit: 'major' });

    assertThat(commands[0][1].revenue_cents).isEqualTo('49,99');
    assertThat(commands[1][1].revenue_cents).isUndefined();
    assertThat(commands[1][1].lines).isUndefined();
- name: An empty data layer harms nothing
  code: |-
    mock('copyFromDataLayer', undefined);
    runCode({ command: 'conversion', eventType: 'purchase', isFromDataLayer: true, amountUnit: 'major' });

    assertThat(commands[0][1].order_id).isUndefined();
    assertApi('gtmOnSuccess').wasCalled();
- name: A refund has a key of its own
  code: |-
    runCode({
      command: 'refund', orderId: '1001', refundId: 77, amount: 15, amountUnit: 'major', currency: 'EUR'
    });

    assertThat(commands).isEqualTo([['refund', {
      idempotency_key: 'refund/77', original_order_id: '1001', refund_amount_cents: 1500, currency: 'EUR',
      is_test: undefined
    }]]);

    runCode({ command: 'refund', orderId: '1001', amount: '1500', amountUnit: 'minor' });
    assertThat(commands[1][1].idempotency_key).isUndefined();
    assertThat(commands[1][1].refund_amount_cents).isEqualTo(1500);
- name: A customer is told by id or by address
  code: |-
    runCode({ command: 'identify', customerId: 'c-17', email: '' });
    runCode({ command: 'identify', email: 'emma@brand.example' });

    assertThat(commands).isEqualTo([
      ['identify', { customer_id: 'c-17', email: undefined }],
      ['identify', { customer_id: undefined, email: 'emma@brand.example' }]
    ]);
    assertApi('gtmOnSuccess').wasCalled();
setup: |-
  const commands = [];
  const loaded = [];
  const visit = {
    command: 'visit', endpoint: 'https://go.brand.example/', organization: 'org_0000001', key: '', consent: 'none',
    crossDomain: ''
  };
  const purchase = {
    transaction_id: '1001', value: 49.99, currency: 'EUR', tax: '6.99', shipping: 3, coupon: 'EMMA10',
    items: [{ item_id: 'SOCK-RED', item_name: 'Socks', price: 14, discount: 1, quantity: 3 }]
  };
  mock('createArgumentsQueue', (name, queue) => {
    assertThat([name, queue]).isEqualTo(['sfq', 'sfq.q']);
    return (command, given) => commands.push([command, given]);
  });
  mock('injectScript', (url, onSuccess, onFailure, token) => {
    loaded.push(url, token);
    onSuccess();
  });


___NOTES___

The sections above are edited here and tested by tests/integrations/test_gtm.py, which runs the scenarios without Google's editor.
Import this file into a container: Templates > Tag Templates > New > Import. README.md beside it says how to set the tags up.
