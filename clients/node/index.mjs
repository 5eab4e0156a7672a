/**
 * Tell Stackfluence what happened in a shop: conversions, refunds, who a customer is.
 *
 *     import { Client } from "stackfluence";
 *
 *     const stackfluence = new Client(); // of STACKFLUENCE_ENDPOINT and STACKFLUENCE_SECRET_KEY
 *     const receipt = await stackfluence.conversion({
 *       inf_click_id: clickId, order_id: "1001", revenue_cents: 4999, currency: "EUR", idempotency_key: "order-1001",
 *     });
 *     if (receipt.status === "quarantined") console.warn(receipt.reason, receipt.detail);
 *
 * No dependency; Node 20 or newer. For servers: the secret key must not reach a browser. Nothing is judged here: the
 * server says what it can't use, and keeps it with the reason. What could not be delivered is sent again with the same
 * idempotency key, so that it counts once. Give a key of your own (`order-1001`, `refund-77`) where your program may
 * send the same thing again after a crash; without one, each call is an event of its own.
 */

const MAX_BATCH = 1_000; // events the server takes at once
const MAX_BATCH_BYTES = 1_000_000; // of the 1 MiB that it reads
const FIRST_PAUSE_MS = 500; // doubled each time, unless the server says how long in Retry-After
const LONGEST_PAUSE_MS = 60_000;
const AGAIN = new Set([408, 429, 502, 503, 504]); // a later attempt may succeed

/** Events did not arrive; `receipts` are those of a batch's events that had arrived before. */
export class NotDelivered extends Error {
  name = "NotDelivered";
  receipts = [];
}

/** The server refused the request, and would again: `status` is HTTP's, `type` the problem's name. */
export class Refused extends NotDelivered {
  name = "Refused";

  constructor(status, type, detail) {
    super(`${status} ${type}: ${detail}`);
    Object.assign(this, { status, type, detail });
  }
}

/** The server did not answer, or could not keep the events, for as long as was tried. Send them again later. */
export class Unreached extends NotDelivered {
  name = "Unreached";
}

/** Sends events of one organization. */
export class Client {
  #base;
  #headers;
  #timeoutMs;
  #retries;
  #fetch;
  #pause;

  /** Prepare to send to an endpoint with a secret key; throws TypeError when there is neither, or the endpoint is no address. */
  constructor({ endpoint, key, timeoutMs = 10_000, retries = 4, fetch = globalThis.fetch, pause = sleep } = {}) {
    endpoint ||= process.env.STACKFLUENCE_ENDPOINT;
    key ||= process.env.STACKFLUENCE_SECRET_KEY;
    if (!endpoint || !key) {
      throw new TypeError("Give endpoint and key, or set STACKFLUENCE_ENDPOINT and STACKFLUENCE_SECRET_KEY.");
    }
    if (!/^https?:\/\//.test(endpoint)) {
      throw new TypeError(`The endpoint is an address, https://go.brand.example, not ${endpoint}.`);
    }
    this.#base = endpoint.replace(/\/+$/, "");
    this.#headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    this.#timeoutMs = timeoutMs;
    this.#retries = retries;
    this.#fetch = fetch;
    this.#pause = pause;
  }

  /** Tell of an order or another goal. */
  conversion(fields) {
    return this.#sendOne("conversion", fields);
  }

  /** Tell of money given back. */
  refund(fields) {
    return this.#sendOne("refund", fields);
  }

  /** Tell whose click it was. */
  identify(fields) {
    return this.#sendOne("identify", fields);
  }

  /** Send any number of events, 1,000 at a time, and return the receipt of each, in order. */
  async batch(events) {
    const receipts = [];
    for (const body of bodies(events)) {
      try {
        receipts.push(...(await this.#post("/v1/events/batch", body)).events.map(receiptOf));
      } catch (error) {
        if (error instanceof NotDelivered) error.receipts = receipts;
        throw error;
      }
    }
    return receipts;
  }

  async #sendOne(type, fields) {
    return receiptOf(await this.#post(`/v1/events/${type}`, json(keyed(fields))));
  }

  async #post(path, body) {
    let pauseMs = FIRST_PAUSE_MS;
    let failure;
    for (let left = this.#retries; left >= 0; left--) {
      let answer = null;
      let text = "";
      try {
        answer = await this.#fetch(this.#base + path, {
          method: "POST",
          headers: this.#headers,
          body,
          redirect: "manual",
          signal: AbortSignal.timeout(this.#timeoutMs),
        });
        text = await answer.text();
      } catch (error) {
        answer = null; // no connection, a broken one, or a timeout
        failure = error;
      }
      if (answer !== null) {
        if (answer.ok) return told(answer, text);
        failure = refusal(answer, text);
        if (!AGAIN.has(answer.status)) throw failure;
      }
      if (left) {
        await this.#pause(askedPauseMs(answer, pauseMs));
        pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
      }
    }
    throw new Unreached(`Tried ${this.#retries + 1} times. ${failure}`, { cause: failure });
  }
}

/**
 * Return the click ID of a landing page's address or query string, empty when it has none. Keep it with the visit and
 * send it with the order; sf.js keeps it in the cookie `inf_click_id`.
 */
export function clickIdOf(urlOrQuery) {
  const query = urlOrQuery.split("#", 1)[0];
  return new URLSearchParams(query.slice(query.indexOf("?") + 1)).get("inf_click_id") ?? "";
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function keyed(fields) {
  return { idempotency_key: crypto.randomUUID(), ...fields };
}

function json(value) {
  return JSON.stringify(value, (_name, part) => (typeof part === "bigint" ? part.toString() : part));
}

function* bodies(events) {
  let waiting = [];
  let size = 0;
  for (const event of events) {
    const text = json(keyed(event));
    const bytes = Buffer.byteLength(text) + 1;
    if (waiting.length && (waiting.length === MAX_BATCH || size + bytes > MAX_BATCH_BYTES)) {
      yield `{"events":[${waiting}]}`;
      waiting = [];
      size = 0;
    }
    waiting.push(text);
    size += bytes;
  }
  if (waiting.length) yield `{"events":[${waiting}]}`;
}

function told(answer, text) {
  const document = parsed(text);
  if (document?.event_id || document?.events) return document;
  throw new Refused(answer.status, "unexpected-answer", "Is this the address of Stackfluence?");
}

function receiptOf({ event_id, status, reason = "", detail = "" }) {
  return { event_id, status, reason, detail };
}

function refusal(answer, text) {
  const problem = parsed(text);
  if (typeof problem?.type !== "string") return new Refused(answer.status, "unexpected-answer", text.slice(0, 200));
  return new Refused(answer.status, problem.type.split("/").pop(), problem.detail ?? "");
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Return how long to wait: as Retry-After says (RFC 9110, 10.2.3: seconds or a date), else as given. */
function askedPauseMs(answer, otherwiseMs) {
  const text = answer?.headers.get("retry-after")?.trim() ?? "";
  const asked = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now();
  return Math.min(Math.max(Number.isNaN(asked) ? otherwiseMs : asked, 0), LONGEST_PAUSE_MS);
}
