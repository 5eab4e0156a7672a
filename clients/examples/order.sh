#!/bin/sh
# Tell Stackfluence of an order, of a partial refund and of who the customer is: with curl alone.
#
#   STACKFLUENCE_ENDPOINT=https://go.brand.example STACKFLUENCE_SECRET_KEY=sf_sec_… sh order.sh
#
# --retry tries again at 503, a timeout or a refused connection, after as long as Retry-After says. The idempotency_key
# makes that harmless, today and in a year: the same key is the same event.
set -eu

tell() {
  curl --silent --show-error --fail-with-body --max-time 10 --retry 4 --retry-connrefused \
    --header "Authorization: Bearer $STACKFLUENCE_SECRET_KEY" --header "Content-Type: application/json" \
    --data "$2" "$STACKFLUENCE_ENDPOINT/v1/events/$1"
  echo
}

# In a shop: what sf.js kept in the cookie inf_click_id, or what the landing page's address brought.
CLICK_ID=${INF_CLICK_ID:-}

# What each key means is in docs/install.md; amounts are minor units: 4999 is 49.99.
tell conversion '{
  "idempotency_key": "order-1001", "order_id": "1001", "inf_click_id": "'"$CLICK_ID"'", "currency": "EUR",
  "revenue_cents": 4999, "subtotal_cents": 4500, "discount_cents": 500, "tax_cents": 699, "shipping_cents": 300,
  "lines": [{"sku": "SOCK-RED", "quantity": 3, "subtotal_cents": 4500, "discount_cents": 500}],
  "coupon_codes": ["EMMA10"], "customer_id": "c-17", "customer_type": "new"
}'

# One of the three pairs came back. Each refund has a key of its own: two of them are added up.
tell refund '{
  "idempotency_key": "refund-77", "original_order_id": "1001", "refund_amount_cents": 1500, "currency": "EUR",
  "reason": "refund"
}'

# At a login or a newsletter form: the next order of this customer finds the click, on any device.
tell identify '{"idempotency_key": "identify-c-17", "inf_click_id": "'"$CLICK_ID"'", "customer_id": "c-17"}'

# Many at once, up to 1,000; an order of last week keeps its time.
tell batch '{"events": [
  {"type": "conversion", "idempotency_key": "order-990", "order_id": "990", "revenue_cents": 2500, "currency": "EUR",
   "customer_id": "c-17", "occurred_at": "2026-11-16T09:30:00Z"},
  {"type": "refund", "idempotency_key": "refund-70", "original_order_id": "990", "refund_amount_cents": 2500,
   "currency": "EUR", "reason": "cancellation", "occurred_at": "2026-11-17T09:30:00Z"}
]}'
