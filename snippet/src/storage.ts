/**
 * What the browser keeps for the page's own site: a cookie, which the site's server can read too, and localStorage
 * beside it, since either may be blocked or wiped alone. Where both are, the page's memory has to do. Nothing throws.
 */

type Texts = Record<string, string>;

export const CLICK = "inf_click_id";
export const SESSION = "inf_click_session";
export const SESSION_SECONDS = 1800; // a visit ends after 30 idle minutes
export const REFUSED = "inf_click_no";
export const QUEUED = "inf_click_q";

const memory: Texts = {};

/** All cookies as they were read when there was need to; none after one was set means that they are blocked. */
let jar = "";

/** What this browser doesn't keep: nothing when it keeps both. */
export let trouble: string | undefined;

/** localStorage, which throws where it is blocked, and is null in web views that have none. */
export const local = (): Texts => {
  try {
    return (localStorage as unknown as Texts) || memory;
  } catch {
    return memory;
  }
};

/** Put a text into localStorage, unless that is full. */
export const write = (name: string, text: string): void => {
  try {
    local()[name] = text;
  } catch {}
};

/** Keep a value (letters, digits, `-`, `_`) for some seconds; none makes it forgotten. */
export const keep = (name: string, value: string, seconds: number): void => {
  try {
    document.cookie =
      name + "=" + value + ";Path=/;SameSite=Lax;Max-Age=" + seconds +
      (location.protocol[5] /* https: */ ? ";Secure" : "");
    jar ||= document.cookie; // asks another process and waits for it, so only where there was none before
  } catch {}
  write(name, Date.now() + seconds * 1e3 + "." + value);
  trouble = (jar ? "" : "no cookie ") + (local() == memory ? "no localStorage" : "") || undefined;
};

/** Return what is kept under a name, unless its time is over. */
export const get = (name: string): string | false => {
  try {
    jar = document.cookie; // throws in the frames of a sandbox
  } catch {}
  // nothing else here may throw: an error that is made and caught takes half a millisecond,
  // and a page's first regular expressions about a tenth each
  const [until, value] = (local()[name] || "").split(".");
  return ("; " + jar).split("; " + name + "=")[1]?.split(";")[0] || (+until! > Date.now() && value!);
};

/** Forget everything. */
export const forget = (): void => {
  keep(CLICK, "", 0);
  keep(SESSION, "", 0);
  for (const name in local()) if (/^inf_click_/.test(name)) delete local()[name];
};
