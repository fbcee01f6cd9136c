// What a page sees: `Retention.open(…)` for the dialog, `Retention.Flow` for a page of one's own, `Retention.step` for the bare
// machine.

import { complain, Dialog, type DialogOptions } from "./dialog";

export { Flow } from "./flow";
export { allows, IDLE, step, wrongAnswers } from "./machine";
export { wordsFor } from "./words";

declare const VERSION: string;
export const version = VERSION;

/** Where this file came from is where the API is, unless the page says otherwise. */
const script = typeof document === "undefined" ? null : (document.currentScript as HTMLScriptElement | null);
const home = script?.src ? new URL(script.src).origin : "";

let shown: Dialog | undefined;

/** Opens the flow. Whatever goes wrong, `handleFallback` is called: once, and with nothing of ours left on the page. */
export function open(options: Omit<DialogOptions, "api"> & { api?: string }): { close(): void } {
  // Without it a customer could be left with nothing: said at once, and not when it is too late.
  if (typeof options.handleFallback !== "function") throw new TypeError("retention: handleFallback is needed");
  shown?.close();
  const fallen = (reason: "setup" | "unsupported", why: unknown) => {
    complain(why);
    options.handleFallback(reason);
    return { close() {} };
  };
  const api = options.api ?? home;
  if (!api || !options.token) return fallen("setup", "`api` and `token` are needed");
  const able = "adoptedStyleSheets" in Document.prototype && typeof HTMLDialogElement === "function";
  if (!able) return fallen("unsupported", "this browser is too old");
  try {
    const dialog = new Dialog({ ...options, api });
    shown = dialog;
    dialog.open();
    return { close: () => dialog.close() };
  } catch (error) {
    shown = undefined;
    return fallen("setup", error);
  }
}
