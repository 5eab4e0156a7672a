/**
 * Runs the code of a Google Tag Manager template outside its editor: `node gtm_harness.mjs < {code, permissions, tests}`
 * prints {faults, results} as JSON. `faults` is what the sandbox would not run, `results` each scenario's name and, if
 * it failed, why.
 *
 * The sandbox's rules are those of Google's "Sandboxed JavaScript" and "Core APIs" pages: ECMAScript 5.1 with arrow
 * functions, const and let; no globals but `require` and `data`; a list of methods; every API behind a permission.
 */
import { isDeepStrictEqual } from "node:util";
import vm from "node:vm";

const acorn = await import("acorn").catch(() => null);

const METHODS = new Set(
  // of arrays, strings, numbers and objects, as the page on the standard library lists them; of Math and of tags
  "concat every filter forEach hasOwnProperty indexOf join lastIndexOf length map pop push reduce reduceRight reverse shift slice some sort splice unshift charAt match replace search split substring toLowerCase toString toUpperCase trim toFixed abs ceil floor max min pow round sqrt gtmOnSuccess gtmOnFailure".split(" "),
);
const FORBIDDEN = {
  ClassDeclaration: "a class",
  ClassExpression: "a class",
  NewExpression: "new",
  TemplateLiteral: "a template literal",
  ThisExpression: "this",
  SpreadElement: "a spread",
  AwaitExpression: "await",
  YieldExpression: "yield",
};

/** Return what the sandbox would refuse in the code. */
function lint(code) {
  const faults = [];
  const declared = new Set(["require", "data", "undefined", "arguments"]);
  const read = new Set();
  const tree = acorn.parse(code, { ecmaVersion: 6, sourceType: "script", allowReturnOutsideFunction: true });
  visit(tree, null, (node, parent) => {
    if (FORBIDDEN[node.type]) faults.push(`${FORBIDDEN[node.type]} at ${node.start}`);
    if (node.type === "Literal" && node.regex) faults.push(`a regular expression at ${node.start}`);
    if (node.type === "VariableDeclarator") names(node.id).forEach((name) => declared.add(name));
    if (/Function/.test(node.type)) node.params.flatMap(names).forEach((name) => declared.add(name));
    if (node.type === "FunctionDeclaration") declared.add(node.id.name);
    if (node.type === "CatchClause") names(node.param).forEach((name) => declared.add(name));
    if (node.type === "CallExpression" && node.callee.type === "MemberExpression" && !node.callee.computed) {
      if (!METHODS.has(node.callee.property.name)) faults.push(`the method ${node.callee.property.name}`);
    }
    const isName = parent && ((parent.type === "MemberExpression" && parent.property === node && !parent.computed) || (parent.type === "Property" && parent.key === node && !parent.computed && !parent.shorthand));
    if (node.type === "Identifier" && !isName) read.add(node.name);
  });
  return faults.concat([...read].filter((name) => !declared.has(name)).map((name) => `the global ${name}`));
}

/** Return the names that a pattern declares. */
function names(pattern) {
  return pattern.type === "Identifier" ? [pattern.name] : [];
}

/** Call `look` with each node of a syntax tree and its parent. */
function visit(node, parent, look) {
  look(node, parent);
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (child && typeof child.type === "string") visit(child, node, look);
    }
  }
}

/** Return a value of a permission as plain JavaScript. */
function plain(value) {
  if (value.type === 2) return value.listItem.map(plain);
  if (value.type === 3) return Object.fromEntries(value.mapKey.map((key, place) => [key.string, plain(value.mapValue[place])]));
  return value.type === 8 ? value.boolean : value.string;
}

/** Return the permissions by name, each as its parameters. */
function readPermissions(permissions) {
  const of = ({ instance }) => [instance.key.publicId, Object.fromEntries((instance.param ?? []).map(({ key, value }) => [key, plain(value)]))];
  return Object.fromEntries(permissions.map(of));
}

/** Throw when a permission doesn't allow what an API is asked for. */
function demand(granted, api, args) {
  const need = (name, isAllowed) => {
    if (!granted[name] || !isAllowed(granted[name])) throw new Error(`${api}(${args[0]}) is not permitted by ${name}`);
  };
  const reads = (key) => (globals) => globals.keys.some((entry) => entry.key === key && entry.read && entry.write);
  const checks = {
    injectScript: () => need("inject_script", ({ urls }) => urls.some((pattern) => matches(pattern, args[0]))),
    createArgumentsQueue: () => args.slice(0, 2).forEach((key) => need("access_globals", reads(key))),
    copyFromDataLayer: () => need("read_data_layer", ({ keyPatterns }) => keyPatterns.includes(args[0])),
    isConsentGranted: () => need("access_consent", ({ consentTypes }) => consentTypes.some((entry) => entry.consentType === args[0] && entry.read)),
    addConsentListener: () => need("access_consent", ({ consentTypes }) => consentTypes.some((entry) => entry.consentType === args[0] && entry.read)),
    logToConsole: () => need("logging", () => true),
  };
  checks[api]?.();
}

/** Whether a URL is one of a pattern's: the scheme, a host that may begin with `*`, and the beginning of a path. */
function matches(pattern, url) {
  const [, host, path] = /^https:\/\/([^/]+)(\/.*)$/.exec(pattern);
  const given = new URL(url);
  const isHost = host === "*" || given.hostname === host || (host.startsWith("*.") && given.hostname.endsWith(host.slice(1)));
  return given.protocol === "https:" && isHost && given.pathname.startsWith(path);
}

const BUILT_IN = {
  makeNumber: Number,
  makeString: String,
  makeInteger: (value) => Math.trunc(Number(value)),
  getType: (value) => (value === null ? "null" : Array.isArray(value) ? "array" : typeof value),
};
const NAMESPACES = { Math, JSON, Object };
const SILENT = ["addConsentListener", "copyFromDataLayer", "createArgumentsQueue", "injectScript", "isConsentGranted", "logToConsole"];

/** Run one scenario; throws when an assertion doesn't hold. */
function play({ code, setup, scenario, granted }) {
  const mocks = {};
  const calls = {};
  const spy = (name, then) => (...args) => {
    (calls[name] ??= []).push(args);
    demand(granted, name, args);
    return then?.(...args);
  };
  const require = (name) => {
    if (name in mocks) return spy(name, typeof mocks[name] === "function" ? mocks[name] : () => mocks[name]);
    if (name in NAMESPACES) return NAMESPACES[name];
    if (name in BUILT_IN) return BUILT_IN[name];
    if (SILENT.includes(name)) return spy(name);
    throw new Error(`there is no API ${name} here`);
  };
  const context = vm.createContext({
    mock: (name, value) => void (mocks[name] = value),
    assertThat,
    assertApi: (name) => assertApi(name, calls[name] ?? []),
    fail: (why) => check(false, why),
  });
  context.runCode = (data) => {
    const tag = { ...data, gtmOnSuccess: spy("gtmOnSuccess"), gtmOnFailure: spy("gtmOnFailure") };
    return vm.runInContext(`(function (require, data) {"use strict";${code}\n})`, context)(require, tag);
  };
  vm.runInContext(`(function () {${setup}\n${scenario}\n})()`, context, { timeout: 5_000 });
}

function check(holds, why) {
  if (!holds) throw new Error(why);
}

/** Return a value without what differs between two realms; functions stay. */
function of(value) {
  return typeof value === "function" ? value : structuredClone(value);
}

function assertThat(value) {
  const shown = JSON.stringify(value);
  return {
    isEqualTo: (other) => check(isDeepStrictEqual(of(value), of(other)), `${shown} is not ${JSON.stringify(other)}`),
    isNotEqualTo: (other) => check(!isDeepStrictEqual(of(value), of(other)), `${shown} is what it must not be`),
    isUndefined: () => check(value === undefined, `${shown} is not undefined`),
    isDefined: () => check(value !== undefined, "it is undefined"),
    isTrue: () => check(value === true, `${shown} is not true`),
    isFalse: () => check(value === false, `${shown} is not false`),
    contains: (other) => check(value.includes(other), `${shown} does not contain ${other}`),
  };
}

function assertApi(name, calls) {
  return {
    wasCalled: () => check(calls.length > 0, `${name} was not called`),
    wasNotCalled: () => check(calls.length === 0, `${name} was called`),
    wasCalledWith: (...args) => check(calls.some((call) => isDeepStrictEqual(of(call.slice(0, args.length)), of(args))), `${name} was called with other things`),
  };
}

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { code, permissions, tests } = JSON.parse(Buffer.concat(chunks).toString());
const granted = readPermissions(permissions);
const results = (tests.scenarios ?? []).map(({ name, code: scenario }) => {
  try {
    play({ code, setup: tests.setup ?? "", scenario, granted });
    return { name, error: null };
  } catch (error) {
    return { name, error: String(error.message ?? error) };
  }
});
console.log(JSON.stringify({ faults: acorn ? lint(code) : null, results }));
