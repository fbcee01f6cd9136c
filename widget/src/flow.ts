// Carries out what the machine asks for: calls the API, waits, tells. Needs `fetch` and a timer, and no page.

import { IDLE, step, type Act, type Call, type Effect, type Event, type Outcome, type Reason, type State } from "./machine";
import type { Answer, Problem, Screen } from "./wire";

export interface FlowOptions {
  /** Where the gateway is, such as `https://retention.example.com`. */
  api: string;
  /** A start token from the company's own server, or what fetches one. */
  token: string | (() => string | Promise<string>);
  /** BCP 47; what the start token says when left out. */
  locale?: string;
  /** Milliseconds until the start is given up for the plain way to cancel; 8000 when left out. */
  patience?: number;
  /** What calls the network; the browser's own when left out. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** What waits; the browser's own timer when left out. Answers what stops the waiting. */
  wait?: (ms: number, then: () => void) => () => void;
}

export interface Watcher {
  /** How it stands, after everything that happened. */
  changed?(state: State): void;
  /** What became of the customer, as the server says. */
  told?(outcome: Outcome, screen: Screen): void;
  /** Nothing more comes from here: the company's plain way to cancel is next. */
  fell?(reason: Reason): void;
}

/** Most of what is asked is answered at once; taking an offer waits for the billing provider. */
const LATEST = 20_000;

export class Flow {
  #state = IDLE;
  #watchers = new Set<Watcher>();
  #options: FlowOptions;
  #session = { id: "", token: "" };
  /** Which call is waited for: what comes to an earlier one is too late. */
  #turn = 0;
  #stop: (() => void) | undefined;

  constructor(options: FlowOptions) {
    this.#options = options;
  }

  get state(): State {
    return this.#state;
  }

  /** Answers what ends the watching. */
  watch(watcher: Watcher): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  open(): void {
    this.#happen({ type: "open" });
  }

  answer(answers: Answer[]): void {
    this.act({ type: "answer", answers });
  }

  accept(consent = false): void {
    this.act({ type: "accept", consent });
  }

  decline(): void {
    this.act({ type: "decline" });
  }

  cancel(): void {
    this.act({ type: "cancel" });
  }

  act(act: Act): void {
    this.#happen({ type: "act", act });
  }

  /** Looks again after trouble. */
  again(): void {
    this.#happen({ type: "again" });
  }

  /** The customer leaves without deciding. */
  leave(): void {
    this.#happen({ type: "leave" });
  }

  /** Gives up in favour of the plain way to cancel. */
  fall(why: Reason): void {
    this.#happen({ type: "fall", why });
  }

  #happen(event: Event): void {
    const next = step(this.#state, event);
    this.#state = next.state;
    // Effects after everybody knows how it stands.
    this.#each((w) => w.changed?.(next.state));
    next.effects.forEach((effect) => this.#do(effect));
  }

  #each(tell: (watcher: Watcher) => void): void {
    this.#watchers.forEach(tell);
  }

  #do(effect: Effect): void {
    switch (effect.type) {
      case "call":
        void this.#call(effect.call);
        break;
      case "wait":
        this.#later(effect.ms, () => this.#happen({ type: "tick" }));
        break;
      case "tell":
        this.#each((w) => w.told?.(effect.outcome, effect.screen));
        break;
      case "fall":
        this.#stop?.();
        this.#each((w) => w.fell?.(effect.reason));
    }
  }

  #later(ms: number, then: () => void): void {
    this.#stop?.();
    this.#stop = this.#wait(ms, then);
  }

  #wait(ms: number, then: () => void): () => void {
    if (this.#options.wait) return this.#options.wait(ms, then);
    const timer = setTimeout(then, ms);
    return () => clearTimeout(timer);
  }

  async #call(call: Call): Promise<void> {
    this.#stop?.();
    const turn = ++this.#turn;
    const aborter = new AbortController();
    const latest = call.type === "start" ? this.#options.patience ?? 8000 : LATEST;
    const tooLate = new Promise<Event>((resolve) => {
      this.#stop = this.#wait(latest, () => {
        aborter.abort();
        resolve({ type: "lost", why: "late" });
      });
    });
    // A token that never comes is as late as an answer that never does.
    const event = await Promise.race([this.#ask(call, aborter.signal), tooLate]);
    if (turn !== this.#turn) return;
    this.#stop?.();
    if (event.type === "answered" && event.screen.session_token) {
      this.#session = { id: event.screen.session_id, token: event.screen.session_token };
    }
    this.#happen(event);
  }

  async #ask(call: Call, signal: AbortSignal): Promise<Event> {
    try {
      const { path, body } = await this.#request(call);
      const headers: Record<string, string> = { accept: "application/json" };
      if (body) headers["content-type"] = "application/json";
      if (call.type !== "start") headers.authorization = `Bearer ${this.#session.token}`;
      const ask = this.#options.fetch ?? ((url: string, init: RequestInit) => fetch(url, init));
      const answer = await ask(this.#options.api.replace(/\/+$/, "") + path, {
        method: body ? "POST" : "GET",
        headers,
        body: body && JSON.stringify(body),
        credentials: "omit",
        cache: "no-store",
        // The page may be on its way out by then.
        keepalive: call.type === "close" || call.type === "cancel",
        signal,
      });
      return await read(answer);
    } catch {
      return { type: "lost", why: "unreachable" };
    }
  }

  async #request(call: Call): Promise<{ path: string; body?: object }> {
    const session = `/v1/flow/sessions/${encodeURIComponent(this.#session.id)}`;
    const offer = () => `${session}/offers/${encodeURIComponent(this.#state.screen?.offer?.id ?? "")}`;
    switch (call.type) {
      case "start": {
        const { token, locale } = this.#options;
        const start = typeof token === "string" ? token : await token();
        return { path: "/v1/flow/sessions", body: locale ? { token: start, locale } : { token: start } };
      }
      case "look":
        return { path: session };
      case "answer":
        return { path: `${session}/answers`, body: { answers: call.answers } };
      case "accept":
        return { path: `${offer()}/accept`, body: { consent: call.consent } };
      case "decline":
        return { path: `${offer()}/decline`, body: {} };
      case "cancel":
      case "close":
        return { path: `${session}/${call.type}`, body: {} };
    }
  }
}

/** What an answer means. Faults of the server and too many calls say nothing about what was asked. */
async function read(answer: Response): Promise<Event> {
  if (answer.status >= 500 || answer.status === 429) return { type: "lost", why: "broken" };
  let body: unknown;
  try {
    body = await answer.json();
  } catch {
    return { type: "lost", why: "broken" };
  }
  if (answer.ok) return { type: "answered", screen: body as Screen };
  return { type: "refused", problem: { ...(body as Problem), status: answer.status } };
}
