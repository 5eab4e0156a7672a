/**
 * Tell Stackfluence of an order, of a partial refund and of who the customer is.
 *
 *     STACKFLUENCE_ENDPOINT=https://go.brand.example STACKFLUENCE_SECRET_KEY=sf_sec_… node order.mjs
 *
 * The package is clients/node: one file without dependencies.
 */

import { Client } from "stackfluence";

// In a shop: what sf.js kept in the cookie inf_click_id, or what the landing page's address brought.
const clickId = process.env.INF_CLICK_ID ?? "";

const stackfluence = new Client();
const receipts = [
  // Amounts are minor units: 4999 is 49.99.
  await stackfluence.conversion({
    idempotency_key: "order-1001",
    order_id: "1001",
    inf_click_id: clickId,
    currency: "EUR",
    revenue_cents: 4999,
    subtotal_cents: 4500,
    discount_cents: 500,
    tax_cents: 699,
    shipping_cents: 300,
    lines: [{ sku: "SOCK-RED", quantity: 3, subtotal_cents: 4500, discount_cents: 500 }],
    coupon_codes: ["EMMA10"],
    customer_id: "c-17",
    customer_type: "new",
  }),
  // One of the three pairs came back. Each refund has a key of its own: two of them are added up.
  await stackfluence.refund({
    idempotency_key: "refund-77",
    original_order_id: "1001",
    refund_amount_cents: 1500,
    currency: "EUR",
    reason: "refund",
  }),
  // At a login or a newsletter form: the next order of this customer finds the click, on any device.
  await stackfluence.identify({ idempotency_key: "identify-c-17", inf_click_id: clickId, customer_id: "c-17" }),
];

// Many at once, any number; an order of last week keeps its time.
receipts.push(
  ...(await stackfluence.batch([
    {
      type: "conversion",
      idempotency_key: "order-990",
      order_id: "990",
      revenue_cents: 2500,
      currency: "EUR",
      customer_id: "c-17",
      occurred_at: "2026-11-16T09:30:00Z",
    },
    {
      type: "refund",
      idempotency_key: "refund-70",
      original_order_id: "990",
      refund_amount_cents: 2500,
      currency: "EUR",
      reason: "cancellation",
      occurred_at: "2026-11-17T09:30:00Z",
    },
  ])),
);

for (const { event_id, status, reason, detail } of receipts) console.log(event_id, status, reason, detail);
