// Builds widget/dist from widget/src. The built file is committed, so that nobody needs npm to build the gateway.
//   node tools/widget.mjs           types checked, built, written
//   node tools/widget.mjs --check   the same, compared with what is committed
//   node tools/widget.mjs --again   writes a version again that is there already: only while nobody has it
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const VERSION = "1.0.0";
const MOST = 15_000;

const at = (path) => fileURLToPath(new URL(`../widget/${path}`, import.meta.url));
const [check, again] = ["--check", "--again"].map((flag) => process.argv.includes(flag));
const fail = (why) => {
  console.error(`widget: ${why}`);
  process.exit(1);
};

const tsc = fileURLToPath(new URL("node_modules/.bin/tsc", import.meta.url));
try {
  execFileSync(tsc, ["-p", at("tsconfig.json")], { stdio: "inherit" });
} catch {
  fail("the types do not fit");
}

const { outputFiles } = await build({
  entryPoints: [at("src/index.ts")],
  bundle: true,
  minify: true,
  write: false,
  format: "iife",
  globalName: "Retention",
  target: ["es2022"],
  legalComments: "none",
  define: { VERSION: JSON.stringify(VERSION) },
  banner: { js: `/* Retention Stack widget ${VERSION}, Apache-2.0 */` },
});
const built = Buffer.from(outputFiles[0].contents);
if (/\beval\(|new Function|\.innerHTML|\bstyle=/.test(built.toString())) fail("it would not run under a strict policy");
const size = gzipSync(built, { level: 9 }).length;
if (size >= MOST) fail(`${size} bytes packed; at most ${MOST}`);

const sources = createHash("sha256");
for (const name of readdirSync(at("src")).sort()) sources.update(`${name}\0`).update(readFileSync(at(`src/${name}`)));
const integrity = `sha384-${createHash("sha384").update(built).digest("base64")}`;

const file = `dist/retention-${VERSION}.js`;
const noted = existsSync(at("dist/versions.json")) ? JSON.parse(readFileSync(at("dist/versions.json"), "utf8")) : { versions: [] };
const known = noted.versions.find((v) => v.version === VERSION);
const versions = [...noted.versions.filter((v) => v.version !== VERSION), { version: VERSION, integrity, bytes: built.length, gzip_bytes: size }];
const manifest = `${JSON.stringify({ built_from: sources.digest("hex"), versions }, null, 2)}\n`;

if (check) {
  const same = known?.integrity === integrity && existsSync(at(file)) && readFileSync(at(file)).equals(built);
  if (!same || readFileSync(at("dist/versions.json"), "utf8") !== manifest) fail("widget/dist is not what widget/src builds to: run `node tools/widget.mjs`");
} else {
  if (known && known.integrity !== integrity && !again) fail(`${VERSION} is there already, and pages name its hash: raise VERSION, or say --again while nobody has it`);
  writeFileSync(at(file), built);
  writeFileSync(at("dist/versions.json"), manifest);
}
console.log(`widget ${VERSION}: ${built.length} bytes, ${size} packed, ${integrity}`);
