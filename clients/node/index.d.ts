/** A shop's own id. Ids beyond 2^53 are strings or bigints: a number would be rounded. */
export type Id = string | number | bigint;

/** One line of an order; amounts are minor units (cents) of the order's currency. */
export interface Line {
  line_id?: Id;
  product_id?: Id;
  variant_id?: Id;
  sku?: Id;
  quantity?: number;
  subtotal_cents?: number;
  discount_cents?: number;
  tax_cents?: number;
  is_gift_card?: boolean;
}

/** What any event may say. `email` is hashed by the server at once and not kept. */
export interface Fields {
  idempotency_key?: Id;
  /** RFC 3339 with a zone; a Date is written so. */
  occurred_at?: string | Date;
  /** When the order was last changed: the latest amounts count, in whatever order events come. */
  revised_at?: string | Date;
  inf_click_id?: string;
  customer_id?: Id;
  email?: string;
  email_sha256?: string;
  shop?: string;
  session_id?: Id;
  page_url?: string;
  consent?: "granted" | "denied" | "unknown";
  is_test?: boolean;
  metadata?: Record<string, unknown>;
}

/** An order, or another goal. Amounts are minor units (cents); `lines` and the parts make a commission exact. */
export interface Conversion extends Fields {
  event_type?: "purchase" | "signup" | "lead" | "add_to_cart" | "custom";
  order_id?: Id;
  revenue_cents?: number;
  currency?: string;
  /** What the payment is called at Stripe, so that refunds and disputes which Stripe tells of find the order. */
  payment_id?: Id;
  presentment_revenue_cents?: number;
  presentment_currency?: string;
  subtotal_cents?: number;
  discount_cents?: number;
  tax_cents?: number;
  shipping_cents?: number;
  gift_card_cents?: number;
  lines?: Line[];
  coupon_codes?: string[];
  customer_type?: "new" | "returning";
  is_renewal?: boolean;
}

/** Money given back for an order. Each refund needs an idempotency key of its own: two refunds are added up. */
export interface Refund extends Fields {
  original_order_id: Id;
  payment_id?: Id;
  refund_amount_cents: number;
  currency?: string;
  reason?: string;
}

/** Who came by a click: `customer_id` or an email, so that a later order without the click finds it. */
export type Identify = Fields;

/** One event of a batch: the fields of its type, and which type it is. */
export type Event =
  | ({ type: "conversion" } & Conversion)
  | ({ type: "refund" } & Refund)
  | ({ type: "identify" } & Identify);

/** What became of one event. A quarantined one is kept and counts nowhere; `reason` and `detail` say why. */
export interface Receipt {
  event_id: string;
  status: "accepted" | "duplicate" | "quarantined";
  reason: string;
  detail: string;
}

/** Events did not arrive; `receipts` are those of a batch's events that had arrived before. */
export class NotDelivered extends Error {
  receipts: Receipt[];
}

/** The server refused the request, and would again: `status` is HTTP's, `type` the problem's name. */
export class Refused extends NotDelivered {
  constructor(status: number, type: string, detail: string);
  readonly status: number;
  readonly type: string;
  readonly detail: string;
}

/** The server did not answer, or could not keep the events, for as long as was tried. Send them again later. */
export class Unreached extends NotDelivered {}

/** How a client sends. */
export interface Options {
  /** `https://go.brand.example`; by default the environment's STACKFLUENCE_ENDPOINT. */
  endpoint?: string;
  /** A secret key, `sf_sec_…`; by default the environment's STACKFLUENCE_SECRET_KEY. */
  key?: string;
  /** Of one attempt, in milliseconds; by default 10,000. */
  timeoutMs?: number;
  /** After the first attempt; by default 4. */
  retries?: number;
  fetch?: typeof fetch;
  pause?: (ms: number) => Promise<void>;
}

/** Sends events of one organization. */
export class Client {
  /** @throws {TypeError} without endpoint and key, or when the endpoint is no address */
  constructor(options?: Options);
  /** Tell of an order or another goal. @throws {Refused | Unreached} */
  conversion(fields: Conversion): Promise<Receipt>;
  /** Tell of money given back. @throws {Refused | Unreached} */
  refund(fields: Refund): Promise<Receipt>;
  /** Tell whose click it was. @throws {Refused | Unreached} */
  identify(fields: Identify): Promise<Receipt>;
  /** Send any number of events, 1,000 at a time. @throws {Refused | Unreached} with the `receipts` until then */
  batch(events: Iterable<Event>): Promise<Receipt[]>;
}

/** Return the click ID of a landing page's address or query string, empty when it has none. */
export function clickIdOf(urlOrQuery: string): string;
