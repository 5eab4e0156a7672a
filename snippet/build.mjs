/** Builds sf.v1.js, prints its size and the hash for `integrity`, and fails when it is too large. */

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

const VERSION = 1;
const MOST_BYTES = 2560; // after gzip -9
const place = (path) => fileURLToPath(new URL(path, import.meta.url));
const file = place(`../src/stackfluence/collect/snippet/sf.v${VERSION}.js`);

const bundled = await build({
  entryPoints: [place("src/main.ts")],
  bundle: true,
  write: false,
  format: "iife",
  target: "es2020",
  charset: "utf8",
  minifySyntax: true,
  tsconfigRaw: { compilerOptions: { alwaysStrict: false, strict: false } },
});
const { code } = await minify(bundled.outputFiles[0].text, {
  ecma: 2020,
  toplevel: true,
  compress: { passes: 4, unsafe_arrows: true, unsafe_methods: true, keep_fargs: false, pure_getters: true },
  mangle: true,
  // all of it is called on load: a browser that knows the hint compiles it beside the page's thread (Chrome 136)
  format: { comments: false, preamble: "//# allFunctionsCalledOnLoad" },
});
const text = `${code}\n`;
const bytes = gzipSync(text, { level: 9 }).length;
const integrity = `sha384-${createHash("sha384").update(text).digest("base64")}`;
console.log(JSON.stringify({ file: `sf.v${VERSION}.js`, bytes: text.length, gzip_bytes: bytes, most_bytes: MOST_BYTES, integrity }));
if (bytes > MOST_BYTES) {
  console.error(`sf.v${VERSION}.js has ${bytes} bytes after gzip, ${bytes - MOST_BYTES} too many`);
  process.exitCode = 1;
} else if (!process.argv.includes("--check")) {
  writeFileSync(file, text);
} else if (readFileSync(file, "utf8") !== text) {
  console.error(`sf.v${VERSION}.js is not what its source gives; it is frozen once it is released: begin sf.v${VERSION + 1}.js`);
  process.exitCode = 1;
}
