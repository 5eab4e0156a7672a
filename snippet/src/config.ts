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
  endpoint: tag?.src.replace(/\/[^/]*$/, ""),
  ...tag?.dataset,
};

/** Tell whoever installs the snippet; visitors don't see it. */
export const hint = (text: unknown): void => console.warn("sf.js:", text);

/** Return some 40 digits that nobody else has. */
export const random = (): string => crypto.getRandomValues(new Uint32Array(4)).join("");
