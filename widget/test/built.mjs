// The committed file as a page would load it, in a place without a page.
import { readFileSync } from "node:fs";
import vm from "node:vm";

const dist = new URL("../dist/", import.meta.url);
const { versions } = JSON.parse(readFileSync(new URL("versions.json", dist), "utf8"));
const { version } = versions.at(-1);
const script = readFileSync(new URL(`retention-${version}.js`, dist), "utf8");
export const Retention = vm.runInThisContext(`${script};Retention`, { filename: `retention-${version}.js` });
export { version };
