/**
 * Verify Stackfluence click IDs offline, with your organization's verification key.
 *
 *     import { verify } from "./click-id.mjs";
 *     const { status, click } = await verify(clickId, [keyHex]);
 *
 *     node click-id.mjs KEY_HEX[,KEY_HEX…] CLICK_ID [--organization org_…] [--at MILLISECONDS]
 *
 * One file, no dependency: WebCrypto in Node 20 or newer, workers, Deno, Bun and browsers (where a secure context is
 * needed, and where the key must not be: it also signs). The command prints one line of JSON and exits with 0 when
 * the ID is valid, 1 when it is not, 2 when the arguments can't be used.
 *
 * A valid ID was issued by the holder of the key and not altered. Whether its click is stored, and whether it counts,
 * is decided later, by Stackfluence: a valid ID is not yet a paid click.
 */

const VERSION = 1;
const UNRECORDED = 0b01;
const TEST = 0b10;
const SIGNED_BYTES = 31;
const SIGNATURE_BYTES = 16;
const HOUR_MS = 3_600_000;

// 63 characters are 378 bits, the ID has 376: the last character's two low bits are zero, so each ID has one spelling
const SPELLING = /^[A-Za-z0-9_-]{62}[AEIMQUYcgkosw048]$/;
const CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz";

/**
 * What a click ID says; times are milliseconds since 1970-01-01 UTC, flags are as signed.
 * @typedef {{event_id: string, organization_id: string, link_id: string, issued_at_ms: number, expires_at_ms: number,
 *   is_unrecorded: boolean, is_test: boolean, kid: number}} ClickId
 */

/**
 * Judge a click ID as of `atMs`, by default now.
 *
 * The statuses, in order of judgement: missing, malformed, bad_signature, wrong_organization, expired, unrecorded,
 * valid. `click` is null unless the status is valid, expired or unrecorded.
 * @param {string | null | undefined} clickId the value of `inf_click_id`
 * @param {string[]} keys verification keys, 64 hexadecimal digits each: several during a rotation
 * @param {{atMs?: number, organizationId?: string}} [options] when to judge, and whose the ID has to be
 * @returns {Promise<{status: string, click: ClickId | null}>}
 * @throws {RangeError} when a key is not 64 hexadecimal digits
 */
export async function verify(clickId, keys, { atMs = Date.now(), organizationId } = {}) {
  const secrets = keys.map(keyBytes);
  if (!clickId) return { status: "missing", click: null };
  const raw = decode(clickId);
  if (raw === null) return { status: "malformed", click: null };
  const checks = await Promise.all(secrets.map((secret) => isSignedBy(secret, raw)));
  if (!checks.includes(true)) return { status: "bad_signature", click: null };
  const click = read(raw);
  if (organizationId != null && click.organization_id !== organizationId) {
    return { status: "wrong_organization", click: null };
  }
  if (atMs >= click.expires_at_ms) return { status: "expired", click };
  return { status: click.is_unrecorded ? "unrecorded" : "valid", click };
}

/**
 * Return the 47 bytes of a well-formed click ID of version 1, else null.
 * @param {string} clickId
 * @returns {Uint8Array | null}
 */
export function decode(clickId) {
  if (typeof clickId !== "string" || !SPELLING.test(clickId)) return null;
  const text = atob(clickId.replaceAll("-", "+").replaceAll("_", "/"));
  const raw = Uint8Array.from(text, (character) => character.charCodeAt(0));
  return raw[0] === VERSION ? raw : null;
}

/**
 * Return what 47 decoded bytes say, unverified.
 * @param {Uint8Array} raw
 * @returns {ClickId}
 */
export function read(raw) {
  const issuedAtMs = Number(unsigned(raw.subarray(15, 21)));
  const uuid = hex(raw.subarray(15, 31));
  return {
    event_id: [[0, 8], [8, 12], [12, 16], [16, 20], [20, 32]].map(([from, to]) => uuid.slice(from, to)).join("-"),
    organization_id: "org_" + base32(raw.subarray(5, 9)),
    link_id: "lnk_" + base32(raw.subarray(9, 15)),
    issued_at_ms: issuedAtMs,
    expires_at_ms: issuedAtMs + ((raw[3] << 8) | raw[4]) * HOUR_MS,
    is_unrecorded: (raw[2] & UNRECORDED) !== 0,
    is_test: (raw[2] & TEST) !== 0,
    kid: raw[1],
  };
}

async function isSignedBy(secret, raw) {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", secret, algorithm, false, ["sign"]);
  const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, raw.subarray(0, SIGNED_BYTES)));
  let difference = 0; // every byte is looked at, so the time says nothing about where the first wrong one is
  for (let i = 0; i < SIGNATURE_BYTES; i += 1) difference |= signature[i] ^ raw[SIGNED_BYTES + i];
  return difference === 0;
}

function keyBytes(text) {
  if (!/^[0-9A-Fa-f]{64}$/.test(text)) throw new RangeError("a verification key has 64 hexadecimal digits");
  return Uint8Array.from(text.match(/../g), (digits) => parseInt(digits, 16));
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

const unsigned = (bytes) => BigInt("0x" + hex(bytes));

function base32(bytes) {
  const value = unsigned(bytes);
  let text = "";
  for (let shift = Math.ceil((bytes.length * 8) / 5) * 5 - 5; shift >= 0; shift -= 5) {
    text += CROCKFORD[Number((value >> BigInt(shift)) & 31n)];
  }
  return text;
}

function rfc3339(atMs) {
  return atMs < 253402300800000 ? new Date(atMs).toISOString() : null; // null: past the year 9999
}

async function main(process) {
  const usage = "usage: node click-id.mjs KEY_HEX[,KEY_HEX…] CLICK_ID [--organization org_…] [--at MILLISECONDS]";
  const { parseArgs } = await import("node:util");
  let answer;
  try {
    const options = { organization: { type: "string" }, at: { type: "string" } };
    // an ID begins with A (its version), never with a dash, so it can't be mistaken for an option
    const { values, positionals } = parseArgs({ options, allowPositionals: true, args: process.argv.slice(2) });
    if (positionals.length !== 2) throw new RangeError("a key and a click ID are needed");
    if (values.at !== undefined && !/^\d+$/.test(values.at)) throw new RangeError("--at takes milliseconds");
    const atMs = values.at === undefined ? Date.now() : Number(values.at);
    const [keys, clickId] = positionals;
    answer = await verify(clickId, keys.split(","), { atMs, organizationId: values.organization });
  } catch (error) {
    process.stderr.write(`${usage}\nclick-id.mjs: ${error.message}\n`);
    return 2;
  }
  const { status, click } = answer;
  const times = click && { issued_at: rfc3339(click.issued_at_ms), expires_at: rfc3339(click.expires_at_ms) };
  process.stdout.write(JSON.stringify({ status, ...click, ...times }) + "\n");
  return status === "valid" ? 0 : 1;
}

async function isMain(process) {
  const { realpathSync } = await import("node:fs");
  const { fileURLToPath } = await import("node:url");
  try {
    return realpathSync(process.argv[1]) === realpathSync(fileURLToPath(import.meta.url));
  } catch {
    return false; // `node -e CODE ARGUMENT`: the first argument is no file
  }
}

// only in Node: the module is imported elsewhere, and must not look for a command line there
if (globalThis.process?.release?.name === "node" && globalThis.process.argv?.[1] && import.meta.url.startsWith("file:")) {
  if (await isMain(globalThis.process)) globalThis.process.exitCode = await main(globalThis.process);
}
