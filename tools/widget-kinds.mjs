// Every kind of piece in the widget, and every hook, in a real browser, over an API of this script's own: what is drawn, what is
// sent, what is replaced. Usage: node widget-kinds.mjs [FOLDER FOR PICTURES]
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { browse } from "./browser.mjs";

const [pictures] = process.argv.slice(2);
const dist = new URL("../widget/dist/", import.meta.url);
const { versions } = JSON.parse(await readFile(new URL("versions.json", dist), "utf8"));
const script = await readFile(new URL(`retention-${versions.at(-1).version}.js`, dist));

const piece = (kind, more) => ({ kind, ...more });
const question = (key, type, more = {}) => piece("question", { question: { key, type, text: `Question ${key}`, ...more } });
const choices = ["a", "b", "c"].map((key) => ({ key, label: `Choice ${key}` }));
const kinds = [
  piece("heading", { text: "A heading", level: 2 }),
  piece("heading", { text: "A smaller one", level: 3 }),
  piece("text", { text: "Two lines\nof text <b>and no markup</b>" }),
  piece("image", { url: "/image.svg", text: "A green square" }),
  piece("list", { items: ["first", "second"], ordered: true }),
  piece("list", { items: ["one", "other"] }),
  piece("plan_compare", { items: ["Lite (9.00 EUR): one line", "Full (19.00 EUR): all of it"] }),
  piece("divider"),
  piece("countdown", { text: "Until", value: "December 1, 2026" }),
  piece("usage_stat", { text: "reports exported", value: "214" }),
  piece("testimonial", { text: "Good.", value: "Ada, engineer" }),
  piece("html", { text: '<p id="mark" onclick="x()" style="color:red">Marked <em>up</em> <a href="javascript:x()">no</a> <a href="/yes">yes</a></p><script>window.bad = 1</script><video src="x">kept words</video>' }),
  piece("hologram", { text: "A kind of a later version" }),
  question("one", "single", { choices, required: true, help: "One of them." }),
  question("some", "multi", { choices }),
  question("words", "text", { required: true, min_length: 3, help: "A sentence is enough." }),
  question("scale", "scale", { scale_min: 1, scale_max: 10 }),
  question("day", "date"),
  piece("button", { action: "next", text: "Continue" }),
  piece("button", { action: "link", text: "Read more", url: "https://elsewhere.example/terms" }),
  piece("button", { action: "link", text: "A trap", url: "javascript:alert(1)" }),
  piece("button", { action: "cancel", text: "Cancel my plan" }),
  piece("button", { action: "close", text: "Keep my plan" }),
];
const screen = (title, pieces, more = {}) => ({
  session_id: "fls_1", state: "active", locale: "en", direction: "ltr", title, notice: "", can_cancel: true, cancel_label: "Cancel now",
  places: [{ name: "main", cards: [{ id: "crd_1", kind: "value", pieces }] }],
  theme: { accent: "#1f6f54", accent_text: "#ffffff", radius: "10px", font: "serif} *{display:none" }, ...more,
});
const offer = { id: "off_1", kind: "discount", consent_required: true, consent_text: "I agree to these terms." };
const asked = [];
let replies = [];

const types = { "/retention.js": "text/javascript", "/page.js": "text/javascript", "/image.svg": "image/svg+xml", "/": "text/html" };
const files = {
  "/retention.js": script,
  "/": `<!doctype html><html lang="en"><title>Kinds</title><link rel="icon" href="data:,"><script src="/retention.js" defer></script><script src="/page.js" defer></script><main><h1>Kinds</h1><button id="open">Open</button></main></html>`,
  "/image.svg": `<svg xmlns="http://www.w3.org/2000/svg" width="80" height="40"><rect width="80" height="40" fill="#1f6f54"/></svg>`,
  "/page.js": `
    window.seen = [];
    const note = (name) => (said) => { seen.push([name, said && (said.state || said.code || said)]); };
    window.extra = {};
    document.querySelector("#open").addEventListener("click", () => Retention.open({
      api: location.origin, token: async () => "start",
      onOpen: note("onOpen"), onScreen: note("onScreen"), onSaved: note("onSaved"), onCanceled: note("onCanceled"),
      onSettling: note("onSettling"), onProblem: note("onProblem"), onClose: note("onClose"),
      onFallback: () => { throw new Error("a listener of the company's that fails"); },
      handleFallback: note("handleFallback"), ...extra,
    }));`,
};
const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  if (request.url in files) {
    const policy = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; require-trusted-types-for 'script'; trusted-types retention";
    response.writeHead(200, { "content-type": types[request.url], "content-security-policy": policy });
    return response.end(files[request.url]);
  }
  asked.push([`${request.method} ${request.url}`, chunks.length ? JSON.parse(Buffer.concat(chunks)) : null]);
  const [status, body] = replies.shift() ?? [500, {}];
  response.writeHead(status, { "content-type": status < 400 ? "application/json" : "application/problem+json" });
  response.end(JSON.stringify(body));
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));

// The markup below holds what the server would have cleaned away: the policy stops it before we drop it.
await browse({ pictures, name: "kinds", stopped: /inline event handler|inline style/ }, async (visit) => {
  const { page } = visit;
  const seen = () => visit.worth("seen.splice(0)");
  const open = async (extra, ...answers) => {
    replies = answers;
    asked.length = 0;
    await visit.worth(`extra = ${extra}; seen.length = 0; true`);
    await page.locator("#open").click();
  };
  const dialog = (selector) => page.locator(`dialog ${selector}`);
  await page.goto(`http://127.0.0.1:${server.address().port}/`);

  // Everything is drawn, and nothing but what it should be.
  await open("{}", [200, screen("All kinds", kinds, { session_token: "t", notice: "Something to know." })]);
  await visit.until("dialog form");
  const drawn = { h3: 1, h4: 1, "img[alt='A green square']": 1, "ol li": 2, "ul li": 4, hr: 1, ".stat strong": 1, blockquote: 1, "cite": 1,
    "section em": 1, "fieldset": 5, "input[type=radio]": 3, "input[type=checkbox]": 3, textarea: 1, "input[type=number][min='1'][max='10']": 1,
    "input[type=date]": 1, "[data-do=next]": 1, "[data-do=cancel]": 1, "[data-do=close]": 1, "[data-cancel-now]": 1,
    "a[href='https://elsewhere.example/terms'][rel~=noopener]": 1, "a[href^=javascript]": 0, "[onclick]": 0, "[style]": 0, script: 0,
    video: 0, "section b": 0, "#mark": 0 };
  for (const [selector, count] of Object.entries(drawn)) assert.equal(await dialog(selector).count(), count, selector);
  const words = await dialog("form").textContent();
  for (const said of ["no markup</b>", "A kind of a later version", "kept words", "December 1, 2026"]) assert.ok(words.includes(said), said);
  assert.equal(await dialog("[role=alert]").textContent(), "Something to know.");
  assert.equal(await visit.worth("window.bad"), undefined);
  assert.ok(await dialog("h2").isVisible(), "a theme cannot say more than a colour");
  await visit.look("top");
  await page.locator("dialog").evaluate((d) => d.scrollTo(0, d.scrollHeight / 2));
  await visit.look("middle");

  // What was answered goes out, what is refused comes back to its place with what was written.
  replies = [[422, { code: "invalid_request", errors: [{ field: "answers[words]", code: "required", message: "" }, { field: "answers[1]", code: "wrong_answer", message: "" }] }]];
  await dialog("input[type=radio][value=b]").check();
  await dialog("input[type=checkbox][value=a]").check();
  await dialog("input[type=checkbox][value=c]").check();
  await dialog("input[type=number]").fill("7");
  await dialog("input[type=date]").fill("2026-12-24");
  await dialog("input[type=number]").press("Enter");
  await visit.until("dialog .error");
  const answers = [{ question: "one", choices: ["b"] }, { question: "some", choices: ["a", "c"] }, { question: "scale", text: "7" }, { question: "day", text: "2026-12-24" }];
  assert.deepEqual(asked.at(-1), ["POST /v1/flow/sessions/fls_1/answers", { answers }]);
  assert.equal(await dialog(".error").count(), 2);
  assert.equal(await dialog("#q-words[aria-invalid=true][aria-describedby='q-words-help q-words-error']").count(), 1);
  assert.ok(await dialog("input[type=radio][value=b]").isChecked());
  assert.equal(await dialog("input[type=date]").inputValue(), "2026-12-24");
  await visit.look("mistakes");

  // An offer without a place of its own still asks for its consent; an outcome is told when the server says so.
  const bare = [piece("text", { text: "Half the price." }), piece("button", { action: "accept", text: "Take it" }), piece("button", { action: "decline", text: "No" })];
  replies = [[200, screen("An offer", bare, { offer })]];
  await dialog("textarea").fill("It is dear.");
  await dialog("[data-do=next]").click();
  await visit.until("dialog [data-do=accept]");
  assert.equal(await dialog("input[name=consent]").count(), 1);
  await dialog("input[name=consent]").check();
  replies = [[200, screen("One moment", [], { state: "settling" })], [200, screen("Done", [], { state: "saved", can_cancel: false, continue_url: "https://elsewhere.example/on", continue_label: "Continue" })]];
  await dialog("[data-do=accept]").click();
  await visit.until("dialog a.main");
  assert.deepEqual(asked.slice(-2), [["POST /v1/flow/sessions/fls_1/offers/off_1/accept", { consent: true }], ["GET /v1/flow/sessions/fls_1", null]]);
  await visit.look("done");
  await dialog("[data-do=out]").click();
  assert.deepEqual(await seen(), [["onOpen", null], ["onScreen", "active"], ["onProblem", "invalid_request"], ["onScreen", "active"],
    ["onScreen", "settling"], ["onSettling", "settling"], ["onScreen", "saved"], ["onSaved", "saved"], ["onClose", null]].map(([n, s]) => (s === null ? [n] : [n, s])).map(([n, s]) => [n, s ?? null]));

  // A part that is replaced: a piece, a link, the last page.
  const replaced = `{ handlePiece: (p) => { if (p.kind !== "text") return; const own = document.createElement("p"); own.id = "own"; own.textContent = p.text + "!"; return own; },
    handleLink: (url) => { seen.push(["handleLink", url]); }, handleCancel: (s) => { seen.push(["handleCancel", s.state]); } }`;
  await open(replaced, [200, screen("Own", [piece("text", { text: "Hello" }), piece("button", { action: "link", text: "Read", url: "https://elsewhere.example/" })], { session_token: "t" })], [200, screen("Bye", [], { state: "canceled", can_cancel: false })]);
  await visit.until("dialog #own");
  await dialog("a.button").click();
  assert.equal(page.context().pages().length, 1, "the link was the page's own to follow");
  await dialog("[data-cancel-now]").click();
  await page.locator("dialog").waitFor({ state: "detached" });
  assert.deepEqual((await seen()).slice(2), [["handleLink", "https://elsewhere.example/"], ["onScreen", "canceled"], ["onCanceled", "canceled"], ["handleCancel", "canceled"], ["onClose", null]]);

  // A call that nobody answers: looked at, then said, with the way out beside it.
  await open("{}", [200, screen("Once", kinds, { session_token: "t" })], [500, {}], [500, {}], [200, screen("Once", kinds)], [200, screen("Twice", bare)]);
  await visit.until("dialog form");
  await dialog("textarea").fill("Written once.");
  await dialog("[data-do=next]").click();
  await visit.until("dialog [role=alert] button");
  await visit.look("trouble");
  assert.equal(await dialog("[data-cancel-now]").count(), 1);
  await dialog("[role=alert] button").click();
  await page.locator("dialog[aria-busy=false] h2:focus").waitFor();
  assert.equal(await dialog("[role=alert]").textContent(), "");
  assert.equal(await dialog("textarea").inputValue(), "Written once.");
  await dialog("[data-do=next]").click();
  await page.locator("dialog h2", { hasText: "Twice" }).waitFor();

  // From the right; and a page of a company's that draws wrongly falls to the plain way, though a listener fails as well.
  await page.keyboard.press("Escape");
  const rtl = { locale: "ar", direction: "rtl", session_token: "t", cancel_label: "إلغاء الاشتراك الآن" };
  await open("{}", [200, screen("قبل أن تغادر", [question("one", "single", { text: "ما السبب؟", choices: [{ key: "a", label: "السعر مرتفع" }] }), piece("list", { items: ["أول", "ثان"] }), piece("button", { action: "next", text: "متابعة" })], rtl)]);
  await visit.until("dialog[dir=rtl][lang=ar] form");
  assert.equal(await dialog(".x").getAttribute("aria-label"), "إغلاق");
  await visit.look("rtl");
  await page.keyboard.press("Escape");
  await open("{ handlePiece: () => { throw new Error('drawn wrongly'); } }", [200, screen("Wrong", kinds, { session_token: "t" })]);
  await page.waitForFunction(() => window.seen.some(([name]) => name === "handleFallback"));
  assert.deepEqual((await seen()).at(-1), ["handleFallback", "broken"]);
  assert.equal(await page.locator("[data-retention]").count(), 0);
});
server.close();
