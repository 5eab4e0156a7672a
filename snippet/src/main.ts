/** sf.js: tells from which click a visitor came, what they looked at and bought. It never throws into a page. */

import { config, type Fields, hint, random } from "./config";
import { hasInteraction, notice, report, reset } from "./engagement";
import { add, clear, flush, restore } from "./queue";
import { CLICK, forget, get, keep, local, REFUSED, SESSION, SESSION_SECONDS, trouble, write } from "./storage";

type Command = (...given: any[]) => unknown;
type Call = Iterable<unknown>;
interface Queue {
  (...given: unknown[]): unknown;
  v: number;
  q: Call[];
}
declare global {
  interface Window {
    sfq?: Queue;
  }
  interface Navigator {
    globalPrivacyControl?: boolean;
  }
  interface Document {
    prerendering?: boolean;
  }
}

const CLICK_SECONDS = 2592e3; // 30 days

const arrived = location.search.match(/[?&]inf_click_id=([\w-]*)/)?.[1] || "";
const isWhole = arrived[39]; // a version 1 has 63 characters; what was cut off is told and not kept
const waiting: Call[] = [];
const optOut = navigator.globalPrivacyControl && "opted_out"; // whatever the page's own question was answered with
let consent = ""; // not known yet, or undecided where it is required
let isBegun = false;
let isLooking = false;

const may = (): boolean => consent.length == 7; // granted or unknown; no other answer has seven letters
const clickId = (): string => (may() && !isWhole && get(CLICK)) || arrived;

const safely =
  (command: Command): Command =>
  (...given) => {
    try {
      return command(...given);
    } catch (error) {
      hint(error);
    }
    return;
  };

/** The page's address; what stands behind # belongs to it only where that is a route. */
const here = (): string => location.href.replace(/#(?![/!]).*/, "");

let pageUrl = here();
let sessionId = "";
let visitedAt = 0;

/** Begin a visit or go on with it; a browser takes milliseconds to read what was just set, so once a minute. */
const visit = (): void => {
  if (may() && Date.now() - visitedAt > 6e4) {
    visitedAt = Date.now();
    const known = get(SESSION);
    sessionId = known || random();
    keep(SESSION, sessionId, SESSION_SECONDS);
    if (!known) put("session");
  }
};

const put = (type: string, fields: Fields = {}): void => {
  if (may()) {
    visit();
    fields.session_id = sessionId;
  } else if (/^[psi]/.test(type)) return; // a visit or a person, not an order
  add(
    {
      type,
      inf_click_id: clickId(),
      page_url: pageUrl,
      referrer: document.referrer,
      occurred_at: new Date().toISOString(),
      // a page of thanks that is looked at again tells the same order
      idempotency_key: fields.order_id ? "sf/" + [fields.event_type, fields.shop, fields.order_id] : random(),
      consent,
      is_webdriver: navigator.webdriver,
      has_interaction: hasInteraction,
      ...fields,
      metadata: { ...(fields.metadata as Fields), sf_storage: trouble },
    },
    may(),
  );
};

const view = (): void => {
  report(put);
  reset();
  pageUrl = here();
  put("pageview");
  flush();
};

const path = (url: string): string => url.replace(/\?[^#]*/, "");

const moved = safely(() => {
  if (path(here()) != path(pageUrl)) view();
});

const observe = (event: Event): void => {
  notice(event);
  visit();
  if (document.hidden || event.type == "pagehide") {
    const was = consent;
    consent ||= "denied"; // who has not decided by now has not agreed
    drain();
    consent = was;
    report(put);
    flush(1);
  }
};

const decorate = (address: string): string =>
  clickId() && !/[?&]inf_click_id=/.test(address)
    ? address.replace(/[^#]*/, (page) => page + (/\?/.test(page) ? "&" : "?") + CLICK + "=" + clickId())
    : address;

const isHandedTo = (url: string): unknown => {
  const { hostname } = new URL(url);
  return (
    hostname != location.hostname &&
    config.crossDomain?.split(" ").some((domain) => domain && ("." + hostname).endsWith("." + domain))
  );
};
/** Fill the fields of forms that ask for the click ID, and hand it over to the site's other domains. */
const handOver = ({ type, target }: { type: string; target: HTMLFormElement }): void => {
  const link = target.closest?.("a[href]") as HTMLAnchorElement | undefined;
  if (link && isHandedTo(link.href)) link.href = decorate(link.href);
  if (type == "submit" && isHandedTo(target.action) && !target[CLICK]) 
    target.append(Object.assign(document.createElement("input"), { type: "hidden", name: CLICK }));
  if (clickId())
    document.getElementsByName(CLICK).forEach((field) => {
      (field as HTMLInputElement).value = clickId();
    });
};

/** Hand on what a page tells; of an e-mail address only its SHA-256. */
const send = async (type: string, { email, ...fields }: Fields): Promise<void> => {
  if (!may()) delete fields.customer_id;
  else if (email)
    if (crypto.subtle) {
      const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode((email as string).trim().toLowerCase()));
      fields.email_sha256 = [...new Uint8Array(digest)].map((byte) => (byte + 256).toString(16).slice(1)).join("");
    } else hint("email needs https");
  put(type, fields); // an identify that names nobody is quarantined, and so seen by whoever checks the installation
  flush();
};
const tell = (type: string, fields: Fields): unknown => send(type, fields).catch(hint);

const commands: Record<string, Command> = {
  config(fields) {
    Object.assign(config, fields);
    begin();
  },
  consent(answer) {
    consent = optOut || (answer == "granted" ? answer : "denied");
    if (isBegun) settle();
  },
  conversion: (fields) => tell("conversion", fields),
  refund: (fields) => tell("refund", fields),
  identify: (who) => tell("identify", Object(who) === who ? who : { customer_id: who }),
  pageview: view,
  decorate,
  click_id: (then) => then(clickId()),
};

const run = safely((call: Call) => {
  const [name, ...given] = call as [string];
  if (/^con[fs]/.test(name) || (isBegun && consent)) return commands[name]!(...given);
  waiting.push(call);
  return;
});

const drain = (): void => waiting.splice(0).forEach(run);

/** Do what the visitor's answer allows. */
const settle = (): void => {
  if (may()) {
    delete local()[REFUSED];
    const isNew = isWhole && get(CLICK) != arrived;
    if (isNew && get(SESSION)) put("session"); // a visit that goes on has another click now
    if (!isLooking) view();
    isLooking = true;
    if (isNew) keep(CLICK, arrived, CLICK_SECONDS);
    if (trouble) hint(trouble);
  } else if (consent) {
    visitedAt = 0;
    clear();
    forget();
    if (!config.consent && consent == "denied") write(REFUSED, "1");
  }
  drain();
};

const on = (names: string, listener: Command): void =>
  names.split(" ").forEach((name) => addEventListener(name, safely(listener), true));

/** Begin, once the page is looked at and it is known whose it is. */
const begin = (): void => {
  if (isBegun || document.prerendering || !config.org) return;
  isBegun = true;
  consent = optOut || consent || (config.consent ? "" : local()[REFUSED] ? "denied" : "unknown");
  on("pointermove pointerdown keydown wheel focus blur visibilitychange pagehide", observe);
  on("pointerdown click submit load", handOver);
  on("popstate", moved);
  on("online", flush);
  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = (...given) => {
      original.apply(history, given);
      moved();
    };
  }
  restore();
  settle();
  flush();
};

const before = window.sfq;
if (!before?.v) {
  const calls: Call[] = before?.q || [];
  window.sfq = Object.assign((...given: unknown[]) => run(given), { v: 1, q: calls });
  on("prerenderingchange", begin);
  safely(begin)();
  calls.forEach(run);
  // whoever holds the queue of before the load goes on with it
  calls.push = (...more) => more.forEach(run) as never;
}
