// The flow over a network of the test's own, with a clock of the test's own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Retention } from "./built.mjs";

const screen = (state, more = {}) => ({ session_id: "fls_1", state, locale: "en", can_cancel: true, offer: { id: "off/1" }, ...more });
const json = (status, body) => new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json" } });

/** A flow whose calls wait for the test to answer them, and whose time the test moves. */
function flow(options = {}) {
  const [calls, timers, told, fell] = [[], [], [], []];
  const made = new Retention.Flow({
    api: "https://gateway.example/",
    token: "start-token",
    fetch: (url, init) => new Promise((resolve, reject) => {
      calls.push({ url, init, body: init.body && JSON.parse(init.body), resolve, reject });
      init.signal.addEventListener("abort", () => reject(new Error("aborted")));
    }),
    wait: (ms, then) => {
      const timer = { ms, then };
      timers.push(timer);
      return () => timers.splice(timers.indexOf(timer) >>> 0, 1);
    },
    ...options,
  });
  made.watch({ told: (outcome) => told.push(outcome), fell: (reason) => fell.push(reason) });
  // Everything that was promised has come.
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const reply = async (status, body) => {
    calls.shift().resolve(json(status, body));
    await settle();
  };
  return { made, calls, timers, told, fell, reply, settle };
}

async function begun(options) {
  const f = flow(options);
  f.made.open();
  await f.settle();
  await f.reply(200, screen("active", { session_token: "session-token" }));
  return f;
}

test("a customer is saved: the calls are those of the API, the outcome is the server's", async () => {
  const f = flow({ locale: "de" });
  f.made.open();
  await f.settle();
  const [start] = f.calls;
  assert.equal(start.url, "https://gateway.example/v1/flow/sessions");
  assert.deepEqual(start.body, { token: "start-token", locale: "de" });
  assert.equal(start.init.headers.authorization, undefined);
  assert.equal(start.init.credentials, "omit");
  await f.reply(200, screen("active", { session_token: "session-token" }));

  f.made.answer([{ question: "reason", choices: ["price"] }]);
  await f.settle();
  assert.equal(f.calls[0].url, "https://gateway.example/v1/flow/sessions/fls_1/answers");
  assert.equal(f.calls[0].init.headers.authorization, "Bearer session-token");
  await f.reply(200, screen("active"));

  f.made.accept(true);
  await f.settle();
  assert.equal(f.calls[0].url, "https://gateway.example/v1/flow/sessions/fls_1/offers/off%2F1/accept");
  assert.deepEqual(f.calls[0].body, { consent: true });
  assert.deepEqual(f.told, []);
  await f.reply(200, screen("settling"));
  assert.deepEqual(f.told, ["settling"]);

  f.timers[0].then();
  await f.settle();
  assert.equal(f.calls[0].init.method, "GET");
  await f.reply(200, screen("saved"));
  assert.deepEqual([f.told, f.fell], [["settling", "saved"], []]);
});

test("a start that comes too late is called off, and the late answer changes nothing", async () => {
  const f = flow({ patience: 1500 });
  f.made.open();
  await f.settle();
  assert.equal(f.timers[0].ms, 1500);
  f.timers[0].then();
  await f.settle();
  assert.deepEqual(f.fell, ["late"]);
  assert.ok(f.calls[0].init.signal.aborted);
  await f.reply(200, screen("active", { session_token: "t" }));
  assert.equal(f.made.state.phase, "fallen");
});

test("a token that never comes is as late, and one that cannot be had is said at once", async () => {
  const never = flow({ token: () => new Promise(() => {}) });
  never.made.open();
  await never.settle();
  never.timers[0].then();
  await never.settle();
  assert.deepEqual(never.fell, ["late"]);

  const refused = flow({ token: async () => { throw new Error("no"); } });
  refused.made.open();
  await refused.settle();
  assert.deepEqual(refused.fell, ["unreachable"]);
});

test("faults of the server lead to the plain way, whatever they look like", async () => {
  for (const answer of [json(503, {}), json(429, {}), new Response("<html>", { status: 200 }), json(403, { code: "origin_not_allowed" })]) {
    const f = flow();
    f.made.open();
    await f.settle();
    f.calls.shift().resolve(answer);
    await f.settle();
    assert.equal(f.fell.length, 1);
  }
});

test("the wish to cancel overtakes an offer that is on its way", async () => {
  const f = await begun();
  f.made.accept();
  await f.settle();
  const accept = f.calls.shift();
  f.made.cancel();
  await f.settle();
  assert.ok(f.calls[0].url.endsWith("/cancel"));
  accept.resolve(json(200, screen("saved")));
  await f.settle();
  assert.deepEqual(f.told, [], "what comes to the call before is not listened to");
  await f.reply(200, screen("canceled", { can_cancel: false }));
  assert.deepEqual(f.told, ["canceled"]);
});

test("the answers' mistakes come with the problem", async () => {
  const f = await begun();
  f.made.answer([]);
  await f.settle();
  await f.reply(422, { code: "invalid_request", errors: [{ field: "answers[reason]", code: "required", message: "an answer is required" }] });
  assert.equal(f.made.state.phase, "showing");
  assert.deepEqual([...Retention.wrongAnswers(f.made.state.problem.errors, [])], [["reason", "required"]]);
});

test("words are the reader's, the company's own before ours", () => {
  assert.equal(Retention.wordsFor("de-AT").close, "Schließen");
  assert.equal(Retention.wordsFor("ar").close, "إغلاق");
  assert.equal(Retention.wordsFor("fr-CA", { fr: { close: "Fermer" } }).close, "Fermer");
  assert.equal(Retention.wordsFor("fr-CA", { fr: { close: "Fermer" } }).again, "Try again");
});
