// One page as elements. Text goes in as text, never as markup; nothing here sets a style or a script.

import type { Act, State } from "./machine";
import { wrongAnswers } from "./machine";
import type { Answer, Piece, Question, Screen } from "./wire";
import type { Words } from "./words";

type Child = Node | string | null | undefined | false;

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | boolean | undefined> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (typeof value === "string" && value !== "") made.setAttribute(name, value);
  }
  made.append(...children.filter((c): c is Node | string => Boolean(c)));
  return made;
}

/** What a page can do, and how a company draws a piece itself. */
export interface Hands {
  act(act: Act): void;
  leave(): void;
  link(url: string, event: MouseEvent): void;
  piece?(piece: Piece, screen: Screen): Node | null | undefined | void;
}

export interface Page {
  form: HTMLFormElement;
  answers(): Answer[];
}

export function page(state: State, screen: Screen, words: Words, hands: Hands): Page {
  return new Drawing(state, screen, words, hands).page();
}

/** An address that a page may lead to. */
export function safe(url: string | undefined): string | undefined {
  try {
    const parsed = new URL(url ?? "", location.href);
    return ["https:", "http:", "mailto:", "tel:"].includes(parsed.protocol) ? parsed.href : undefined;
  } catch {
    return undefined;
  }
}

class Drawing {
  readonly #form = el("form", { novalidate: true });
  readonly #questions: Question[] = [];
  readonly #wrong: Map<string, string>;
  #consent: HTMLInputElement | undefined;

  constructor(
    readonly state: State,
    readonly screen: Screen,
    readonly words: Words,
    readonly hands: Hands,
  ) {
    const sent = state.call?.type === "answer" ? state.call.answers : [];
    this.#wrong = wrongAnswers(state.problem?.errors ?? [], sent);
  }

  page(): Page {
    for (const place of this.screen.places ?? []) {
      for (const card of place.cards ?? []) {
        const pieces = (card.pieces ?? []).flatMap((p) => this.hands.piece?.(p, this.screen) ?? this.#piece(p) ?? []);
        if (pieces.length > 0) this.#form.append(el("section", { "data-card": card.kind }, ...pieces));
      }
    }
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.hands.act({ type: "answer", answers: this.#answers() });
    });
    return { form: this.#form, answers: () => this.#answers() };
  }

  #answers(): Answer[] {
    const given = new FormData(this.#form);
    return this.#questions.flatMap(({ key, type }): Answer[] => {
      const values = given.getAll(`q.${key}`).map(String).filter(Boolean);
      if (values.length === 0) return [];
      const choice = type === "single" || type === "multi";
      return [choice ? { question: key, choices: values } : { question: key, text: values[0] }];
    });
  }

  #piece(piece: Piece): Node | Node[] | undefined {
    const { kind, text = "", value = "", items = [] } = piece;
    const list = (ordered?: boolean) => el(ordered ? "ol" : "ul", {}, ...items.map((i) => el("li", {}, i)));
    switch (kind) {
      case "heading":
        // The title of the dialog says it already.
        if (text === this.screen.title) return undefined;
        return el((piece.level ?? 2) > 2 ? "h4" : "h3", {}, text);
      case "text":
        return el("p", {}, text);
      case "image":
        return el("img", { src: safe(piece.url), alt: text || "" });
      case "list":
        return list(piece.ordered);
      case "plan_compare":
        return list();
      case "divider":
        return el("hr");
      case "countdown":
        return el("p", {}, text, " ", el("strong", {}, value));
      case "usage_stat":
        return el("p", { class: "stat" }, el("strong", {}, value), " ", text);
      case "testimonial":
        return el("blockquote", {}, el("p", {}, text), el("cite", {}, value));
      case "html":
        return markup(text);
      case "offer":
        return [
          el("p", {}, text),
          value !== "" && el("p", { class: "terms" }, value),
          ...this.#consentBox(),
          this.#button("accept", items[0] ?? ""),
          this.#button("decline", items[1] ?? ""),
        ].filter((n): n is HTMLElement => Boolean(n));
      case "button":
        if (piece.action === "link") return this.#link(piece.url, text, "button");
        return piece.action === "accept"
          ? [...this.#consentBox(), this.#button("accept", text)]
          : this.#button(piece.action ?? "", text);
      case "question":
        return piece.question && this.#question(piece.question);
      default:
        // A kind of a later version: its words, and where it leads.
        return safe(piece.url) && piece.url ? this.#link(piece.url, text || piece.url, "") : el("p", {}, text);
    }
  }

  #link(url: string | undefined, text: string, look: string): HTMLElement | undefined {
    const href = safe(url);
    if (!href) return undefined;
    const link = el("a", { class: look, href, target: "_blank", rel: "noopener noreferrer" }, text);
    link.addEventListener("click", (event) => this.hands.link(href, event));
    return link;
  }

  #button(action: string, text: string): HTMLElement {
    const main = action === "next" || action === "accept";
    const type = action === "next" ? "submit" : "button";
    const button = el("button", { type, class: main ? "main" : "", "data-do": action }, text);
    if (action !== "next") button.addEventListener("click", () => this.#press(action));
    return button;
  }

  #press(action: string): void {
    if (action === "accept") this.hands.act({ type: "accept", consent: this.#consent?.checked ?? false });
    else if (action === "decline" || action === "cancel") this.hands.act({ type: action });
    else if (action === "close") this.hands.leave();
  }

  /** The box to tick where the region asks for a consent; once on a page. */
  #consentBox(): HTMLElement[] {
    const offer = this.screen.offer;
    if (!offer?.consent_required || this.#consent) return [];
    const missing = this.state.problem?.code === "consent_required";
    const box = el("input", { type: "checkbox", name: "consent", id: "consent", ...invalid(missing, "consent-error") });
    // Ticked once is ticked: another mistake on the page does not take it away.
    box.checked = this.state.call?.type === "accept" && this.state.call.consent;
    this.#consent = box;
    const error = missing && el("p", { class: "error", id: "consent-error" }, this.words.consent);
    return [el("label", { class: "choice" }, box, el("span", {}, offer.consent_text)), error].filter(
      (n): n is HTMLLabelElement | HTMLParagraphElement => Boolean(n),
    );
  }

  #question(q: Question): HTMLElement {
    this.#questions.push(q);
    const [id, name, slug] = [`q-${q.key}`, `q.${q.key}`, this.#wrong.get(q.key)];
    const help = q.help ? el("p", { class: "help", id: `${id}-help` }, q.help) : null;
    const wrong = slug === "required" ? this.words.required : this.words.wrong;
    const error = slug === undefined ? null : el("p", { class: "error", id: `${id}-error` }, wrong);
    const described = [help?.id, error?.id].filter(Boolean).join(" ");
    const must = q.required ? el("span", { class: "must" }, ` (${this.words.must})`) : null;
    const before = this.#before(q.key);
    if (q.type === "single" || q.type === "multi") {
      const radio = q.type === "single";
      const choices = (q.choices ?? []).map((c) => {
        const input = el("input", { type: radio ? "radio" : "checkbox", name, value: c.key });
        input.checked = before?.choices?.includes(c.key) ?? false;
        return el("label", { class: "choice" }, input, el("span", {}, c.label));
      });
      const group = { role: radio ? "radiogroup" : "group", "aria-labelledby": `${id}-legend`, "aria-describedby": described };
      const state = radio ? { "aria-required": q.required ? "true" : undefined, "aria-invalid": error ? "true" : undefined } : {};
      return el("fieldset", { id, ...group, ...state }, el("legend", { id: `${id}-legend` }, q.text, must), help, error, ...choices);
    }
    const shared = { id, name, "aria-describedby": described, "aria-required": q.required ? "true" : undefined, ...invalid(error !== null) };
    const number = (n: number | undefined) => (n === undefined ? undefined : String(n));
    const field =
      q.type === "text"
        ? el("textarea", { ...shared, rows: "4", maxlength: "5000", minlength: number(q.min_length) })
        : q.type === "scale"
          ? el("input", { ...shared, type: "number", min: number(q.scale_min), max: number(q.scale_max), inputmode: "numeric" })
          : el("input", { ...shared, type: "date" });
    field.value = before?.text ?? "";
    return el("fieldset", {}, el("legend", {}, el("label", { for: id }, q.text, must)), help, error, field);
  }

  /** What was sent and refused, so that nobody writes it twice. */
  #before(key: string): Answer | undefined {
    return this.state.call?.type === "answer" ? this.state.call.answers.find((a) => a.question === key) : undefined;
  }
}

function invalid(is: boolean, by?: string): Record<string, string | undefined> {
  return is ? { "aria-invalid": "true", ...(by ? { "aria-describedby": by } : {}) } : {};
}

/** Where the first mistake is, for the focus. */
export function firstWrong(form: HTMLElement): HTMLElement | null {
  const found = form.querySelector<HTMLElement>("[aria-invalid=true], fieldset:has(> .error)");
  return found?.matches("fieldset") ? found.querySelector<HTMLElement>("input") ?? found : found;
}

const TAGS = new Set(
  "a abbr b bdi bdo blockquote br cite code dd del dfn div dl dt em h3 h4 hr i img ins kbd li mark ol p pre q s samp small span strong sub sup table tbody td th thead tr u ul var".split(" "),
);
const KEPT = new Set(["alt", "title", "lang", "dir", "colspan", "rowspan", "start", "datetime"]);

/** Markup that the server has cleaned, copied piece by piece into what a text can hold: a second lock on the same door. */
function markup(text: string): Node[] {
  const parsed = parse(text);
  return parsed ? [...parsed.body.childNodes].flatMap((n) => copy(n)) : [el("p", {}, text.replace(/<[^>]*>/g, ""))];
}

type Policy = { createHTML(text: string): string };
type Policies = { createPolicy(name: string, rules: object): Policy };
let policy: Policy | undefined;

/** A document that nothing runs in. Pages that ask for trusted types may not let us make one. */
function parse(text: string): Document | undefined {
  const policies = (globalThis as { trustedTypes?: Policies }).trustedTypes;
  try {
    // A page lets a policy be made once.
    policy ??= policies?.createPolicy("retention", { createHTML: (given: string) => given });
    return new DOMParser().parseFromString(policy?.createHTML(text) ?? text, "text/html");
  } catch {
    return undefined;
  }
}

function copy(node: Node): Node[] {
  if (node.nodeType === Node.TEXT_NODE) return [document.createTextNode(node.textContent ?? "")];
  if (!(node instanceof HTMLElement)) return [];
  const inner = () => [...node.childNodes].flatMap((n) => copy(n));
  const tag = node.localName;
  if (["script", "style", "template", "iframe", "object"].includes(tag)) return [];
  if (!TAGS.has(tag)) return inner();
  const made = document.createElement(tag);
  for (const { name, value } of [...node.attributes]) if (KEPT.has(name)) made.setAttribute(name, value);
  const address = safe(node.getAttribute(tag === "img" ? "src" : "href") ?? undefined);
  if (tag === "img" && address) made.setAttribute("src", address);
  if (tag === "a" && node.hasAttribute("href") && address) {
    made.setAttribute("href", address);
    made.setAttribute("target", "_blank");
    made.setAttribute("rel", "noopener noreferrer");
  }
  made.append(...inner());
  return [made];
}
