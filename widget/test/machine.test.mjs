// The machine alone: what happened goes in, what follows comes out. `node --test widget/test`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Retention, version } from "./built.mjs";

const { IDLE, allows, step, wrongAnswers } = Retention;
const screen = (state, more = {}) => ({ session_id: "fls_1", state, locale: "en", can_cancel: true, ...more });
const answered = (state, more) => ({ type: "answered", screen: screen(state, more) });
const act = (type, more = {}) => ({ type: "act", act: { type, ...more } });
const lost = { type: "lost", why: "late" };
const refused = (status, code) => ({ type: "refused", problem: { status, code } });

/** Everything that follows from these events. */
function run(...events) {
  let [state, effects] = [IDLE, []];
  for (const event of events) {
    const next = step(state, event);
    state = next.state;
    effects = next.effects.map((e) => e.call?.type ?? e.outcome ?? e.reason ?? e.type);
  }
  return { state, effects, phase: state.phase };
}
const open = [{ type: "open" }, answered("active", { offer: { id: "off_1" } })];

test("the file runs where there is no page and says its version", () => {
  assert.equal(Retention.version, version);
});

test("a start that fails in any way leads to the plain way to cancel", () => {
  assert.deepEqual(run({ type: "open" }).effects, ["start"]);
  for (const event of [lost, refused(410, "token_used"), refused(403, "origin_not_allowed"), { type: "fall", why: "broken" }]) {
    const { phase, effects } = run({ type: "open" }, event);
    assert.equal(phase, "fallen");
    assert.equal(effects.length, 1);
  }
});

test("nothing comes after the fall", () => {
  const { effects, phase } = run({ type: "open" }, lost, answered("active"));
  assert.deepEqual([phase, effects], ["fallen", []]);
});

test("an outcome is what the server's state says, told once, and nothing the customer pressed", () => {
  assert.deepEqual(run(...open, act("cancel")).effects, ["cancel"]);
  assert.deepEqual(run(...open, act("cancel"), answered("canceled")).effects, ["canceled"]);
  assert.deepEqual(run(...open, act("accept", { consent: true }), answered("saved")).effects, ["saved"]);
  // Accepting can end with the next page, too: nothing was saved.
  assert.deepEqual(run(...open, act("accept", { consent: true }), answered("active", { notice: "failed" })).effects, []);
  assert.deepEqual(run(...open, act("cancel"), answered("manual")).effects, ["manual"]);
  const told = run(...open, act("cancel"), answered("settling"), { type: "tick" }, answered("settling"));
  assert.deepEqual(told.effects, ["wait"], "said before");
});

test("what settles is asked after until it is done, and not for ever", () => {
  const settling = [...open, act("cancel"), answered("settling", { can_cancel: false })];
  assert.deepEqual(run(...settling).effects, ["settling", "wait"]);
  assert.deepEqual(run(...settling, { type: "tick" }).effects, ["look"]);
  assert.deepEqual(run(...settling, { type: "tick" }, lost).effects, ["wait"], "silence is no outcome");
  const done = run(...settling, { type: "tick" }, answered("canceled", { can_cancel: false }));
  assert.deepEqual([done.phase, done.effects], ["over", ["canceled"]]);
  let { state } = run(...settling);
  let looks = 0;
  for (;;) {
    const asked = step(state, { type: "tick" });
    const said = step(asked.state, answered("settling", { can_cancel: false }));
    state = said.state;
    looks += 1;
    if (!said.effects.some((e) => e.type === "wait")) break;
    assert.ok(looks < 100);
  }
  assert.equal(state.phase, "settling");
});

test("a wish to cancel is sent twice and then handed over", () => {
  assert.deepEqual(run(...open, act("cancel"), lost).effects, ["cancel"]);
  const over = run(...open, act("cancel"), lost, lost);
  assert.deepEqual([over.phase, over.effects], ["fallen", ["late"]]);
  assert.equal(run(...open, act("cancel"), refused(403, "forbidden")).phase, "fallen");
});

test("a wish to cancel is taken while an offer is on its way, and nothing else is", () => {
  const sending = [...open, act("accept", { consent: false })];
  assert.deepEqual(run(...sending, act("cancel")).effects, ["cancel"]);
  for (const other of [act("accept", { consent: false }), act("decline"), act("answer", { answers: [] })]) {
    assert.deepEqual(run(...sending, other).effects, [], "a second press");
  }
  assert.deepEqual(run(...open, act("cancel"), act("cancel")).effects, []);
});

test("an answer that does not come is looked for before anybody is troubled", () => {
  const looking = run(...open, act("accept", { consent: false }), lost);
  assert.deepEqual(looking.effects, ["look"]);
  const found = run(...open, act("accept", { consent: false }), lost, answered("saved"));
  assert.deepEqual([found.phase, found.effects], ["over", ["saved"]]);
  const trouble = run(...open, act("accept", { consent: false }), lost, lost);
  assert.deepEqual([trouble.phase, trouble.state.trouble], ["showing", true]);
  assert.ok(allows(trouble.state, { type: "cancel" }), "one can cancel in trouble");
  assert.deepEqual(run(...open, act("accept", {}), lost, lost, { type: "again" }).effects, ["look"]);
});

test("what is refused is shown, what somebody else changed is looked at, who is not known any more falls", () => {
  const wrong = run(...open, act("answer", { answers: [] }), refused(422, "invalid_request"));
  assert.deepEqual([wrong.phase, wrong.state.problem.code, wrong.effects], ["showing", "invalid_request", []]);
  assert.deepEqual(run(...open, act("decline"), refused(409, "stale_version")).effects, ["look"]);
  assert.deepEqual(run(...open, act("answer", { answers: [] }), refused(401, "unauthenticated")).effects, ["gone"]);
  const again = run(...open, act("answer", { answers: [] }), refused(422, "x"), act("answer", { answers: [] }));
  assert.equal(again.state.problem, undefined);
});

test("who leaves an open page has left it; who leaves one that settles or is over has not", () => {
  const leave = { type: "leave" };
  assert.deepEqual(run(...open, leave).effects, ["close"]);
  assert.deepEqual(run(...open, leave, answered("abandoned")).effects, ["abandoned"]);
  assert.deepEqual(run(...open, act("cancel"), leave).effects, [], "the wish stands");
  assert.deepEqual(run(...open, act("cancel"), leave, answered("canceled")).effects, ["canceled"]);
  assert.deepEqual(run(...open, act("cancel"), leave, lost).effects, ["cancel"], "and is sent again behind a closed dialog");
  assert.deepEqual(run(...open, act("cancel"), leave, lost, lost).effects, ["late"]);
  assert.deepEqual(run(...open, act("cancel"), answered("settling"), leave).effects, []);
  assert.deepEqual(run(...open, act("accept", {}), answered("saved"), leave).effects, []);
  assert.equal(run(...open, leave, lost).phase, "left");
});

test("who stayed without an offer can still cancel on the last page", () => {
  const kept = [...open, act("answer", { answers: [] }), answered("abandoned")];
  assert.deepEqual(run(...kept, act("cancel"), answered("canceled")).effects, ["canceled"]);
  const gone = run(...open, act("cancel"), answered("canceled", { can_cancel: false }));
  assert.ok(!allows(gone.state, { type: "cancel" }));
});

test("mistakes find their questions", () => {
  const sent = [{ question: "reason", choices: ["x"] }, { question: "1", text: "?" }];
  const errors = [
    { field: "answers[0]", code: "wrong_answer", message: "" },
    { field: "answers[more]", code: "required", message: "" },
    { field: "answers[1].text", code: "wrong_type", message: "" },
    { field: "consent", code: "consent_required", message: "" },
  ];
  const found = [...wrongAnswers(errors, sent)];
  assert.deepEqual(found, [["reason", "wrong_answer"], ["more", "required"], ["1", "wrong_type"]]);
});

test("no order of events forgets a wish or tells what the server did not say", () => {
  // A small generator with a seed: the same run every time.
  let seed = 7;
  const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
  const states = ["created", "active", "settling", "saved", "canceled", "manual", "abandoned", "bounced"];
  for (let round = 0; round < 3000; round++) {
    let state = IDLE;
    const said = new Set();
    for (let at = 0; at < 14; at++) {
      const events = [
        { type: "open" }, lost, { type: "tick" }, { type: "again" }, act("cancel"), act("decline"), act("accept", {}),
        refused([401, 403, 409, 422][random(4)], "x"), answered(states[random(8)]), { type: "leave" },
      ];
      const event = events[random(random(3) === 0 ? 10 : 9)];
      if (event.type === "answered") said.add(event.screen.state === "bounced" ? "abandoned" : event.screen.state);
      const wished = state.phase === "sending" && state.call.type === "cancel";
      const before = state;
      const next = step(state, event);
      state = next.state;
      for (const effect of next.effects) {
        if (effect.type === "tell") {
          assert.ok(said.has(effect.outcome));
          assert.ok(!before.told.includes(effect.outcome));
        }
      }
      if (wished && ["lost", "refused"].includes(event.type)) {
        const safe = state.phase === "fallen" || next.effects.some((e) => e.call?.type === "cancel");
        assert.ok(safe, `${event.type} lost the wish`);
      }
      assert.ok(before.phase !== "fallen" || next.effects.length === 0);
    }
  }
});
