// The flow as a dialog on a company's page: in a shadow tree, so that neither's styles reach the other, and modal, so that the
// page behind it is out of reach while it is open.

import { el, firstWrong, page, safe, type Hands } from "./draw";
import { Flow, type FlowOptions } from "./flow";
import { allows, type Outcome, type Reason, type State } from "./machine";
import { BASE, TOKENS } from "./style";
import type { Piece, Problem, Screen } from "./wire";
import { wordsFor, type Words } from "./words";

/** `handle…` replaces a part; one that answers `false` lets the widget do it as well. `on…` listens and changes nothing. */
export interface Hooks {
  /** The plain way to cancel, for whenever this one cannot be had. The customer must never be left without. */
  handleFallback(reason: Reason): void;
  /** Instead of the last page for somebody who stays with an offer. */
  handleSave?(screen: Screen): boolean | void;
  /** Instead of the last page for somebody whose cancellation is done, or done by hand. */
  handleCancel?(screen: Screen): boolean | void;
  /** Instead of opening a link in a new tab. */
  handleLink?(url: string, screen: Screen): boolean | void;
  /** Draws a piece of a card; nothing for those to be drawn as always. */
  handlePiece?(piece: Piece, screen: Screen): Node | null | undefined | void;
  onOpen?(): void;
  onScreen?(screen: Screen): void;
  /** Something is being carried out: a wish or an offer is recorded, and not done yet. */
  onSettling?(screen: Screen): void;
  onSaved?(screen: Screen): void;
  onCanceled?(screen: Screen): void;
  /** The wish is recorded, and people carry it out. */
  onManual?(screen: Screen): void;
  onAbandoned?(screen: Screen): void;
  onProblem?(problem: Problem): void;
  onFallback?(reason: Reason): void;
  onClose?(): void;
}

export interface DialogOptions extends FlowOptions, Hooks {
  /** Words of the widget itself in more languages, or others than ours. */
  words?: Record<string, Partial<Words>>;
}

type Listener = "onOpen" | "onScreen" | "onSettling" | "onSaved" | "onCanceled" | "onManual" | "onAbandoned" | "onProblem" | "onFallback" | "onClose";

export class Dialog {
  readonly flow: Flow;
  readonly #options: DialogOptions;
  readonly #host = el("div", { "data-retention": true });
  readonly #dialog = el("dialog", { "aria-labelledby": "title", class: "empty" });
  readonly #title = el("h2", { id: "title", tabindex: "-1" });
  readonly #cross = el("button", { type: "button", class: "x" });
  readonly #notice = el("div", { role: "alert" });
  readonly #status = el("p", { class: "status", role: "status" });
  readonly #body = el("div");
  readonly #foot = el("div", { class: "foot" });
  readonly #theme = new CSSStyleSheet();
  #words: Words;
  #drawn: { screen?: Screen; problem?: Problem } = {};
  #troubled = false;
  #closed = false;

  constructor(options: DialogOptions) {
    this.#options = options;
    this.flow = new Flow(options);
    this.#words = wordsFor(options.locale || document.documentElement.lang || navigator.language || "en", options.words);
    const root = this.#host.attachShadow({ mode: "open" });
    const base = new CSSStyleSheet();
    base.replaceSync(BASE);
    this.#theme.replaceSync(":host{}");
    root.adoptedStyleSheets = [base, this.#theme];
    this.#dialog.append(el("header", {}, this.#title, this.#cross), this.#notice, this.#status, this.#body, this.#foot);
    root.append(this.#dialog);
    this.#cross.addEventListener("click", () => this.close());
    this.#dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.close();
    });
    this.#dialog.addEventListener("keydown", (event) => this.#keys(event));
    this.flow.watch({
      changed: (state) => this.#guard(() => this.#show(state)),
      told: (outcome, screen) => this.#told(outcome, screen),
      fell: (reason) => this.#fell(reason),
    });
  }

  open(): void {
    document.body.append(this.#host);
    const locale = this.#options.locale || document.documentElement.lang;
    if (locale) this.#dialog.lang = locale;
    this.#dialog.dir = getComputedStyle(document.documentElement).direction;
    this.#title.textContent = this.#status.textContent = this.#words.loading;
    this.#cross.setAttribute("aria-label", this.#words.close);
    this.#dialog.showModal();
    this.#title.focus();
    this.#tell("onOpen");
    this.flow.open();
  }

  /** Leaves the flow and takes the dialog away; the focus goes back to where it was. */
  close(): void {
    this.flow.leave();
    this.#hide();
  }

  #hide(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#dialog.close();
    this.#host.remove();
    this.#tell("onClose");
  }

  /** A page that cannot be drawn must not hold anybody. */
  #guard(draw: () => void): void {
    try {
      draw();
    } catch (error) {
      complain(error);
      this.flow.fall("broken");
    }
  }

  #show(state: State): void {
    if (this.#closed || state.phase === "fallen" || state.phase === "left") return;
    const busy = state.phase === "starting" || state.phase === "sending";
    this.#dialog.setAttribute("aria-busy", String(busy));
    this.#dialog.classList.toggle("busy", busy);
    this.#status.textContent = busy ? this.#words.loading : "";
    const { screen, problem } = state;
    if (busy || !screen) return;
    if (screen !== this.#drawn.screen || problem !== this.#drawn.problem) this.#draw(state, screen);
    if (state.trouble) this.#trouble();
  }

  #draw(state: State, screen: Screen): void {
    const fresh = screen !== this.#drawn.screen;
    const same = fresh && JSON.stringify({ ...screen, session_token: "" }) === JSON.stringify({ ...this.#drawn.screen, session_token: "" });
    this.#drawn = { screen, problem: state.problem };
    if (same && !state.problem) {
      // Looked at again: nobody's focus moves and what was written stays, but where the button to try again stood.
      if (this.#troubled) {
        this.#notice.replaceChildren(screen.notice ?? "");
        this.#title.focus();
      }
      this.#troubled = false;
      return;
    }
    this.#troubled = false;
    this.#words = wordsFor(screen.locale, this.#options.words);
    this.#dress(screen);
    this.#title.textContent = screen.title ?? "";
    this.#notice.replaceChildren(screen.notice ?? "");
    const { form } = page(state, screen, this.#words, this.#hands());
    this.#body.replaceChildren(form);
    this.#foot.replaceChildren(...this.#ways(state, screen));
    const wrong = state.problem && firstWrong(form);
    if (state.problem && !wrong) this.#notice.replaceChildren(state.problem.code === "consent_required" ? this.#words.consent : this.#words.wrong);
    (wrong || this.#title).focus();
    // The question with what is wrong about it, not only the field.
    if (wrong) (wrong.closest("fieldset") ?? wrong).scrollIntoView({ block: "start" });
    else this.#dialog.scrollTop = 0;
    if (fresh) this.#tell("onScreen", screen);
    if (state.problem) this.#tell("onProblem", state.problem);
  }

  #dress(screen: Screen): void {
    this.#dialog.classList.remove("empty");
    this.#dialog.lang = screen.locale;
    this.#dialog.dir = screen.direction === "rtl" ? "rtl" : "ltr";
    this.#cross.setAttribute("aria-label", this.#words.close);
    const rule = this.#theme.cssRules[0] as CSSStyleRule;
    // Value by value: none of them can say anything but what it is the value of.
    for (const token of TOKENS) {
      const value = screen.theme?.[token];
      if (value) rule.style.setProperty(`--${token}`, value);
    }
  }

  /** What stands under every page: where it goes on, out, and the way to cancel. */
  #ways(state: State, screen: Screen): Node[] {
    const ways: Node[] = [];
    const on = screen.continue_url ? safe(screen.continue_url) : undefined;
    if (on) {
      const link = el("a", { class: "button main", href: on, target: "_blank", rel: "noopener noreferrer" }, screen.continue_label || on);
      link.addEventListener("click", (event) => this.#link(on, event));
      ways.push(link);
    }
    if (state.phase === "over" || state.phase === "settling" || !form(screen)) {
      const out = el("button", { type: "button", class: on ? "" : "main", "data-do": "out" }, this.#words.close);
      out.addEventListener("click", () => this.close());
      ways.push(out);
    }
    if (allows(state, { type: "cancel" })) {
      const now = el("button", { type: "button", "data-cancel-now": true }, screen.cancel_label);
      now.addEventListener("click", () => this.flow.cancel());
      ways.push(now);
    }
    return ways;
  }

  #trouble(): void {
    this.#troubled = true;
    const again = el("button", { type: "button" }, this.#words.again);
    again.addEventListener("click", () => this.flow.again());
    this.#notice.replaceChildren(el("span", {}, this.#words.trouble), again);
    again.focus();
  }

  #hands(): Hands {
    return {
      act: (act) => this.flow.act(act),
      leave: () => this.close(),
      link: (url, event) => this.#link(url, event),
      piece: this.#options.handlePiece && ((piece, screen) => this.#options.handlePiece?.(piece, screen)),
    };
  }

  #link(url: string, event: MouseEvent): void {
    const { handleLink } = this.#options;
    const screen = this.flow.state.screen;
    if (handleLink && screen && handleLink.call(this.#options, url, screen) !== false) event.preventDefault();
  }

  #told(outcome: Outcome, screen: Screen): void {
    const listeners = { settling: "onSettling", saved: "onSaved", canceled: "onCanceled", manual: "onManual", abandoned: "onAbandoned" } as const;
    this.#tell(listeners[outcome], screen);
    const handle = outcome === "saved" ? "handleSave" : outcome === "canceled" || outcome === "manual" ? "handleCancel" : undefined;
    const replaced = handle && this.#options[handle];
    if (!replaced) return;
    this.#guard(() => {
      if (replaced.call(this.#options, screen) !== false) this.#hide();
    });
  }

  #fell(reason: Reason): void {
    this.#hide();
    this.#tell("onFallback", reason);
    this.#options.handleFallback(reason);
  }

  /** Round and round inside, where the browser would go on to its own buttons. */
  #keys(event: KeyboardEvent): void {
    if (event.key !== "Tab") return;
    const root = this.#host.shadowRoot;
    const stops = [...this.#dialog.querySelectorAll<HTMLElement>("a[href],button,input,textarea,select,[tabindex='0']")];
    const [first, last, now] = [stops[0], stops.at(-1), root?.activeElement];
    // The buttons of one question are one stop: the browser leaves it from any of them.
    const group = (a: Element | null | undefined, b: Element | undefined) =>
      a === b || (a instanceof HTMLInputElement && b instanceof HTMLInputElement && a.type === "radio" && a.name !== "" && a.name === b.name);
    const to = event.shiftKey ? (group(now, first) || now === this.#title ? last : undefined) : group(now, last) ? first : undefined;
    if (to) {
      event.preventDefault();
      to.focus();
    }
  }

  /** A listener that fails is the company's to mend, and no customer's trouble. */
  #tell(name: Listener, said?: Screen | Problem | Reason): void {
    try {
      (this.#options[name] as ((said?: unknown) => void) | undefined)?.call(this.#options, said);
    } catch (error) {
      complain(error);
    }
  }
}

/** Whether the page itself has something to press. */
function form(screen: Screen): boolean {
  const pieces = (screen.places ?? []).flatMap((p) => p.cards ?? []).flatMap((c) => c.pieces ?? []);
  return pieces.some((p) => p.kind === "offer" || (p.kind === "button" && p.action !== "link"));
}

export function complain(error: unknown): void {
  console.error("retention:", error);
}
