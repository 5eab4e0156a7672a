// What the Node client does with a server that answers as a test says; prints one line of JSON.
import { Client, NotDelivered, Refused, Unreached, clickIdOf } from "stackfluence";

const [scenario] = process.argv.slice(2);
const pauses = [];
const client = new Client({ timeoutMs: 1_000, pause: async (ms) => void pauses.push(ms) });

const scenarios = {
  one: () => client.conversion({ order_id: 2n ** 60n + 1n, revenue_cents: 1, occurred_at: new Date(1e12) }),
  refund: async () => [
    await client.refund({ original_order_id: "1", refund_amount_cents: 1 }),
    await client.refund({ original_order_id: "1", refund_amount_cents: 1, idempotency_key: "refund-1" }),
  ],
  odd: () => client.conversion({ order_id: "2" }),
  many: () => client.batch(Array.from({ length: 2001 }, (_, n) => ({ type: "identify", customer_id: n }))),
  large: () =>
    client.batch(Array.from({ length: 300 }, () => ({ type: "identify", metadata: { a: "é".repeat(5_000) } }))),
  addresses: () =>
    ["https://shop.brand.example/socks?x=1&inf_click_id=AQEA-_#top", "?inf_click_id=A", "inf_click_id=A", "", "/#a?b"].map(
      clickIdOf,
    ),
};

let result;
try {
  result = { value: await scenarios[scenario]() };
} catch (error) {
  const kind = error instanceof Refused ? "Refused" : error instanceof Unreached ? "Unreached" : "other";
  const isNotDelivered = error instanceof NotDelivered;
  result = { kind, isNotDelivered, status: error.status, type: error.type, receipts: error.receipts?.length, text: String(error) };
}
console.log(JSON.stringify({ ...result, pauses }));
