/**
 * Events on their way. Each is in localStorage until the edge has said that it is on disk there, one key per event, so
 * that tabs don't overwrite each other's; whatever is sent twice counts once, by its idempotency key.
 */

import { config, type Fields, hint, random } from "./config";
import { local, QUEUED, write } from "./storage";

const MOST = 50;
const OLDEST_MS = 6048e5; // a week
const OTHERS_MS = 5e3; // younger ones may be on their way in another tab
const OUTLIVING = 2e4; // browsers let 64 KiB outlive their page; a character has up to 3 bytes
const FIRST_PAUSE_MS = 5e3; // doubled by each failure: a tenth attempt comes after 42 minutes

let pending: Record<string, string> = {};
const flying: Record<string, unknown> = {};
let attempts = 0;

const drop = (name: string): void => {
  delete pending[name];
  delete local()[name];
};

/** Take up an event; one that may not be kept is lost with its page. */
export const add = (event: Fields, isKept: boolean): void => {
  // the fourth letters sort pageviews first and conversions last; then by age
  const name = QUEUED + (event.type as string)[3] + Date.now() + random();
  pending[name] = JSON.stringify(event);
  if (isKept) write(name, pending[name]!);
};

/** Take up what earlier pages left. */
export const restore = (): void => {
  for (const name in local()) {
    const age = Date.now() - +name.slice(12, 25);
    if (!name.indexOf(QUEUED) && age > OTHERS_MS) {
      pending[name] = local()[name]!;
      if (age > OLDEST_MS) drop(name);
    }
  }
};

/** Forget what waits. */
export const clear = (): void => {
  pending = {};
};

/** Send what waits; from a page that is being left, as a beacon. */
export const flush = (isLeaving?: unknown): void => {
  Object.keys(pending).sort().slice(0, -MOST).forEach(drop); // the oldest pageviews go first
  const names = Object.keys(pending).filter((name) => !flying[name]);
  if (!names[0]) return;
  const events = names.map((name) => (flying[name] = pending[name]));
  const url = config.endpoint + "/v1/events/batch";
  const body =
    JSON.stringify({ organization_id: config.org, key: config.key }).slice(0, -1) + `,"events":[${events}]}`;
  // a beacon tells no answer: where the last was none, events are kept and asked for again
  if (isLeaving == 1 && navigator.onLine && !attempts && navigator.sendBeacon(url, body)) return names.forEach(drop);
  fetch(url, { method: "POST", body, keepalive: body.length < OUTLIVING })
    .then(({ status }) => {
      // a key, an origin, an address can be put right, and an edge that is busy or away comes back
      if (status > 400 && status != 413) throw status;
      names.forEach(drop);
      attempts = 0;
    })
    .catch((reason) => {
      hint(reason);
      names.forEach((name) => delete flying[name]);
      setTimeout(flush, FIRST_PAUSE_MS * 2 ** attempts++);
    });
};
