// What the browser journeys share: headless Chromium the size of a phone, the keyboard, axe, pictures.
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const installed = ["/usr/bin/chromium", "/usr/bin/google-chrome", "/usr/bin/chromium-browser"].find((path) => existsSync(path));
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/**
 * Runs a journey in a browser of its own. `pictures`: a folder for them; none are taken without. `stopped`: what the browser is
 * meant to refuse.
 */
export async function browse({ pictures, name, stopped }, journey) {
  const profile = await mkdtemp(join(tmpdir(), "journey-"));
  if (pictures) await mkdir(pictures, { recursive: true });
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: installed,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
    viewport: { width: 390, height: 844 },
    reducedMotion: "reduce",
  });
  context.setDefaultTimeout(20_000);
  const page = context.pages()[0] ?? (await context.newPage());
  const refused = [];
  page.on("console", (message) => {
    console.error(`${message.type()}: ${message.text()}`);
    const text = message.text();
    if (/Content Security Policy|Trusted ?Type|integrity/i.test(text) && !stopped?.test(text)) refused.push(text);
  });
  page.on("pageerror", (error) => refused.push(String(error)));
  try {
    const visit = new Visit(page, await context.newCDPSession(page), pictures, name);
    await journey(visit);
    if (refused.length > 0) throw new Error(`the browser refused something: ${refused.join("\n")}`);
    console.log(JSON.stringify(visit.said));
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  }
}

class Visit {
  /** What the journey saw, for whoever started it. */
  said = {};

  constructor(page, devtools, pictures, name) {
    Object.assign(this, { page, devtools, pictures, name });
  }

  /** What an expression is worth on the page. By the tools' own door: a strict page lets no text be run. */
  async worth(expression) {
    const asked = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.devtools.send("Runtime.evaluate", asked);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Looks with axe; what is serious or critical ends the journey. A picture goes with it. */
  async look(what) {
    if (this.pictures) await this.page.screenshot({ path: join(this.pictures, `${this.name}-${what}.png`) });
    if (!(await this.worth("typeof axe === 'object'"))) await this.worth(`${axe};true`);
    const found = await this.worth("axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations)");
    const told = found.map((v) => `${v.impact} ${v.id}: ${v.nodes.map((n) => `${n.target.join(" ")} ${n.failureSummary}`).join("; ")}`);
    const grave = told.filter((_, i) => ["serious", "critical"].includes(found[i].impact));
    told.forEach((t) => console.error(`axe, ${what}: ${t}`));
    if (grave.length > 0) throw new Error(`${what}: ${grave.join("\n")}`);
    (this.said.looked ??= []).push(what);
  }

  /** Tabs on until the focus is here. */
  async reach(selector) {
    for (let presses = 0; presses < 60; presses++) {
      if ((await this.page.locator(`${selector}:focus`).count()) > 0) return;
      await this.page.keyboard.press("Tab");
    }
    throw new Error(`the keyboard does not reach ${selector}`);
  }

  /** Chooses among radio buttons as the keyboard does: in with Tab, on with the arrows. */
  async choose(value) {
    await this.reach("input[type=radio]");
    await this.page.keyboard.press("Space");
    for (let presses = 0; presses < 20; presses++) {
      if ((await this.page.locator(`input[value=${value}]:checked`).count()) > 0) return;
      await this.page.keyboard.press("ArrowDown");
    }
    throw new Error(`no choice ${value}`);
  }

  async press(selector, key = "Enter") {
    await this.reach(selector);
    await this.page.keyboard.press(key);
  }

  async count(selector) {
    return this.page.locator(selector).count();
  }

  /** Waits until it is there. */
  async until(selector) {
    await this.page.locator(selector).first().waitFor();
  }

  /** What is too wide for the phone. */
  async fits() {
    const wide = await this.worth("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    if (wide > 0) throw new Error(`the page is ${wide} px too wide`);
  }
}
