// Goes through the widget on a company's page with the keyboard alone, on a phone.
// Usage: node widget-page.mjs ADDRESS NAME saved|canceled|left|broken [FOLDER FOR PICTURES]
import { browse } from "./browser.mjs";

const [address, name, ending, pictures] = process.argv.slice(2);
await browse({ pictures, name }, async (visit) => {
  const { page, said } = visit;
  said.titles = [];
  await page.goto(address);
  const outcome = () => page.locator("#outcome").textContent();
  const seen = async (what, ways = 1) => {
    said.titles.push(await page.locator("dialog h2").textContent());
    await visit.fits();
    await visit.look(what);
    if ((await visit.count("[data-cancel-now]")) !== ways) throw new Error(`${what}: ways to cancel are not ${ways}`);
  };
  const gone = async () => {
    await page.locator("dialog").waitFor({ state: "detached" });
    if ((await visit.count("#cancel:focus")) !== 1) throw new Error("the focus did not go back to where it was");
  };
  if (ending === "broken") return broken(visit, outcome);

  await visit.press("#cancel");
  await visit.until("dialog form");
  said.lang = await page.locator("dialog").getAttribute("lang");
  said.dir = await page.locator("dialog").getAttribute("dir");
  await seen("ask");
  if ((await visit.count("h2:focus")) !== 1) throw new Error("a reader is not told what the dialog is about");
  if ((await visit.worth("getComputedStyle(document.querySelector('[data-retention]').shadowRoot.querySelector('dialog')).animationName")) !== "none") {
    throw new Error("it moves for somebody who asked for no motion");
  }
  for (let presses = 0; presses < 25; presses++) {
    await page.keyboard.press(presses < 15 ? "Tab" : "Shift+Tab");
    if ((await visit.count("dialog :focus")) !== 1) throw new Error("the focus left the dialog");
  }
  if (ending === "left") {
    await page.keyboard.press("Escape");
    await gone();
    await page.locator("#outcome:not(:empty)").waitFor();
    said.outcome = await outcome();
    return;
  }

  await visit.press("[data-do=next]");
  await visit.until(".error");
  await seen("required");
  if ((await visit.count("input[type=radio]:focus")) !== 1 && (await visit.count("fieldset:focus")) !== 1) {
    throw new Error("the focus is not at the mistake");
  }
  await visit.choose("too_expensive");
  await visit.press("[data-do=next]");
  await visit.until("[data-do=accept]");
  await seen("offer");

  said.consent = (await visit.count("input[name=consent]")) === 1;
  if (ending === "canceled") {
    await visit.press("[data-cancel-now]");
  } else {
    if (said.consent) {
      await visit.press("[data-do=accept]");
      await visit.until("#consent-error");
      await seen("consent");
      await visit.press("input[name=consent]", "Space");
    }
    await visit.press("[data-do=accept]");
  }
  await page.locator("#outcome:not(:empty)").waitFor();
  said.outcome = await outcome();
  await seen(ending === "saved" ? "kept" : "goodbye", 0);
  await visit.press("[data-do=out]");
  await gone();
});

/** Nothing of ours may stand between a customer and the way out. */
async function broken(visit, outcome) {
  const { page, said } = visit;
  said.fallen = [];
  const fell = async (what) => {
    await page.locator("#outcome:not(:empty)").waitFor();
    if ((await visit.count("dialog")) > 0) throw new Error(`${what}: the dialog is still there`);
    said.fallen.push(await outcome());
  };
  // The API is out of reach.
  await page.route("**/v1/flow/sessions", (route) => route.abort());
  await visit.press("#cancel");
  await fell("start");
  await page.unroute("**/v1/flow/sessions");

  // The wish is not heard, twice.
  await page.reload();
  let wishes = 0;
  await page.route("**/cancel", (route) => {
    wishes += 1;
    return route.abort();
  });
  await visit.press("#cancel");
  await visit.until("dialog form");
  await visit.press("[data-cancel-now]");
  await fell("cancel");
  if (wishes !== 2) throw new Error(`the wish was sent ${wishes} times`);

  // The file does not come.
  await page.route("**/widget/v1/*", (route) => route.abort());
  await page.reload();
  await visit.press("#cancel");
  await fell("file");
}
