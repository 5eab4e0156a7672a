/** Whose page it is and where its events go: the tag's `data-` attributes, or sfq('config', {…}). */

export type Fields = Record<string, unknown>;

export interface Config {
  [name: string]: string | undefined;
  org?: string | undefined;
  key?: string | undefined;
  endpoint?: string | undefined;
  /** `required`: without a granted consent nothing is stored, and no visit is told. */
  consent?: string;
  /** Domains, with all below them, to which the click ID is handed over. */
  crossDomain?: string;
}

const tag = document.currentScript as HTMLScriptElement | null;

export const config: Config = {
  // where the file itself came from: a path of the site's own needs no further word
  endpoint: tag?.src.split("/").slice(0, -1).join("/"),
  ...tag?.dataset,
};

/** Tell whoever installs the snippet; visitors don't see it. */
export const hint = (text: unknown): void => console.warn("sf.js:", text);

/** Return what nobody else has: a UUID, at which browsers are quicker, or without https some 40 digits. */
export const random = (): string => crypto.randomUUID?.() || crypto.getRandomValues(new Uint8Array(16)).join("");
