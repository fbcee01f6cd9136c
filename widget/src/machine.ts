// The flow as a state machine. Pure: no page, no clock, no network. `step` takes what happened and says how it stands now and
// what is to be done about it; `flow.ts` does that. What became of the customer is only ever taken from the server's state.

import type { Answer, FieldError, Problem, Screen } from "./wire";

export type Phase =
  /** Nothing was asked yet. */
  | "idle"
  | "starting"
  /** A page is there and waits for the customer. */
  | "showing"
  /** What the customer did is on its way. */
  | "sending"
  /** The server carries something out; it is asked again until it is done. */
  | "settling"
  | "over"
  /** The customer left. */
  | "left"
  /** Handed over to the company's own plain way to cancel. */
  | "fallen";

export type Act =
  | { type: "answer"; answers: Answer[] }
  | { type: "accept"; consent: boolean }
  | { type: "decline" }
  | { type: "cancel" };

export type Call = Act | { type: "start" } | { type: "look" } | { type: "close" };

export type Outcome = "settling" | "saved" | "canceled" | "manual" | "abandoned";

/** Why the plain way to cancel has to do. */
export type Reason = "setup" | "unsupported" | "late" | "unreachable" | "broken" | "refused" | "gone";

export interface State {
  readonly phase: Phase;
  readonly screen?: Screen;
  /** What is on its way, or was last. */
  readonly call?: Call;
  /** How often it was sent again. */
  readonly tries: number;
  /** What the server refused, to be shown beside the page. */
  readonly problem?: Problem;
  /** The last call was not answered, and nothing says whether it was heard: it can be looked at again. */
  readonly trouble: boolean;
  /** How often the server was asked whether it is done. */
  readonly looks: number;
  readonly told: readonly Outcome[];
  readonly reason?: Reason;
}

export type Event =
  | { type: "open" }
  | { type: "act"; act: Act }
  | { type: "again" }
  | { type: "leave" }
  | { type: "answered"; screen: Screen }
  | { type: "refused"; problem: Problem }
  | { type: "lost"; why: Reason }
  | { type: "tick" }
  | { type: "fall"; why: Reason };

export type Effect =
  | { type: "call"; call: Call }
  | { type: "wait"; ms: number }
  | { type: "tell"; outcome: Outcome; screen: Screen }
  | { type: "fall"; reason: Reason };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

export const IDLE: State = { phase: "idle", tries: 0, trouble: false, looks: 0, told: [] };

/** After so many looks at something that settles, the page says so and nobody asks any more. */
const MOST_LOOKS = 20;

/** What happened, and what follows. An event that does not fit the state changes nothing. */
export function step(state: State, event: Event): Step {
  const stay: Step = { state, effects: [] };
  if (state.phase === "fallen") return stay;
  if (event.type === "fall" && state.phase !== "left") return fall(state, event.why);
  if (state.phase === "left") {
    // The answer to the leaving still says what became of it; a wish that was on its way is still worth what it is worth.
    if (event.type === "answered") return tell(state, event.screen);
    if (state.call?.type !== "cancel") return stay;
    if (event.type === "lost") return lost(state, event.why);
    return event.type === "refused" ? refused(state, event.problem) : stay;
  }
  switch (event.type) {
    case "open":
      return state.phase === "idle" ? call({ ...state, phase: "starting" }, { type: "start" }) : stay;
    case "act":
      return allows(state, event.act) ? call({ ...clean(state), phase: "sending" }, event.act) : stay;
    case "again":
      return state.trouble ? call({ ...clean(state), phase: "sending" }, { type: "look" }) : stay;
    case "leave":
      return leave(state);
    case "tick":
      return state.phase === "settling" ? call({ ...state, looks: state.looks + 1 }, { type: "look" }) : stay;
    case "answered":
      return waits(state) ? show(state, event.screen) : stay;
    case "refused":
      return waits(state) ? refused(state, event.problem) : stay;
    case "lost":
      return waits(state) ? lost(state, event.why) : stay;
    default:
      return stay;
  }
}

/** Whether a customer can do this now. A wish to cancel is taken even while something else is on its way. */
export function allows(state: State, act: Act): boolean {
  const { phase, screen } = state;
  if (!screen) return false;
  if (act.type === "cancel") {
    const free = phase !== "sending" || state.call?.type !== "cancel";
    return screen.can_cancel === true && free && phase !== "starting";
  }
  if (phase !== "showing") return false;
  return act.type === "answer" || screen.offer !== undefined;
}

/** The questions the server found something wrong with, and the slug of what. */
export function wrongAnswers(errors: readonly FieldError[], answers: readonly Answer[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const { field, code } of errors) {
    const named = /^answers\[([^\]]+)\]/.exec(field)?.[1];
    if (named === undefined) continue;
    // A missing answer is named by its question, a wrong one by its place in what was sent.
    const question = code === "required" ? named : answers[Number(named)]?.question ?? named;
    if (!found.has(question)) found.set(question, code);
  }
  return found;
}

function waits(state: State): boolean {
  return state.phase === "starting" || state.phase === "sending" || state.phase === "settling";
}

function clean(state: State): State {
  return { ...state, problem: undefined, trouble: false, looks: 0 };
}

function call(state: State, what: Call, tries = 0): Step {
  return { state: { ...state, call: what, tries }, effects: [{ type: "call", call: what }] };
}

function fall(state: State, reason: Reason): Step {
  return { state: { ...state, phase: "fallen", reason }, effects: [{ type: "fall", reason }] };
}

function leave(state: State): Step {
  const left: State = { ...state, phase: "left" };
  // What is being carried out, or is over, is not left undone by closing a dialog.
  const open = state.phase === "showing" || (state.phase === "sending" && state.call?.type !== "cancel");
  return open ? call(left, { type: "close" }) : { state: left, effects: [] };
}

const OUTCOMES: { [state: string]: Outcome | undefined } = {
  settling: "settling",
  saved: "saved",
  canceled: "canceled",
  manual: "manual",
  abandoned: "abandoned",
  bounced: "abandoned",
};

/** Says what the server's state means, once. */
function tell(state: State, screen: Screen): Step {
  const outcome = OUTCOMES[screen.state];
  if (!outcome || state.told.includes(outcome)) return { state, effects: [] };
  return {
    state: { ...state, told: [...state.told, outcome] },
    effects: [{ type: "tell", outcome, screen }],
  };
}

function show(before: State, screen: Screen): Step {
  const told = tell(before, screen);
  const state: State = { ...told.state, screen, problem: undefined, trouble: false, tries: 0 };
  if (screen.state === "settling") {
    const more: Effect[] = state.looks < MOST_LOOKS ? [{ type: "wait", ms: pause(state.looks) }] : [];
    return { state: { ...state, phase: "settling" }, effects: [...told.effects, ...more] };
  }
  const phase = OUTCOMES[screen.state] ? "over" : "showing";
  return { state: { ...state, phase }, effects: told.effects };
}

/** Half a second at first, five at most. */
function pause(looks: number): number {
  return Math.min(500 * 1.5 ** looks, 5000);
}

function lost(state: State, why: Reason): Step {
  if (state.phase === "starting") return fall(state, why);
  if (state.phase === "settling") return look(state);
  switch (state.call?.type) {
    case "cancel":
      // The wish is worth a second try and no third: the company's own way is there.
      return state.tries === 0 ? call(state, state.call, 1) : fall(state, why);
    case "look":
      return { state: { ...state, phase: "showing", trouble: true }, effects: [] };
    default:
      // It may have been heard all the same: the server says how it stands.
      return call(state, { type: "look" });
  }
}

function look(state: State): Step {
  const effects: Effect[] = state.looks < MOST_LOOKS ? [{ type: "wait", ms: pause(state.looks) }] : [];
  return { state, effects };
}

function refused(state: State, problem: Problem): Step {
  const gone = problem.status === 401 || problem.status === 404 || problem.status === 410;
  if (state.phase === "starting") return fall(state, "refused");
  if (gone) return fall(state, "gone");
  if (state.phase === "settling") return look(state);
  const looked = state.call?.type === "look";
  if (problem.status === 422 && !looked && state.call?.type !== "cancel") {
    return { state: { ...state, phase: "showing", problem }, effects: [] };
  }
  // Somebody was faster, in another tab or by a second press: the page as it now stands says so.
  if (state.call?.type === "cancel") return fall(state, "refused");
  return looked
    ? { state: { ...state, phase: "showing", problem, trouble: true }, effects: [] }
    : call(state, { type: "look" });
}
