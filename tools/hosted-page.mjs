// Goes through the hosted cancel page with the keyboard alone, on a phone: it costs too much, the offer is taken.
// Usage: node hosted-page.mjs ADDRESS NAME [FOLDER FOR PICTURES]
import { browse } from "./browser.mjs";

const [address, name, pictures] = process.argv.slice(2);
await browse({ pictures, name }, async (visit) => {
  const { page, said } = visit;
  said.titles = [];
  // A customer can leave from every page before the end.
  const seen = async (what, ways) => {
    said.titles.push(await page.title());
    await visit.fits();
    await visit.look(what);
    if ((await visit.count("[data-cancel-now]")) !== ways) throw new Error(`${what}: ways to cancel are not ${ways}`);
  };
  await page.goto(address);
  said.lang = await visit.worth("document.documentElement.lang");
  said.dir = await visit.worth("getComputedStyle(document.body).direction");
  await seen("ask", 1);

  await visit.choose("too_expensive");
  await visit.press("button[value=next]");
  await visit.until("button[value=accept]");
  await seen("offer", 1);

  said.consent = (await visit.count("input[name=consent]")) === 1;
  if (said.consent) {
    await visit.press("button[value=accept]");
    await visit.until("[role=alert]");
    await seen("consent", 1);
    await visit.press("input[name=consent]", "Space");
  }
  await visit.press("button[value=accept]");
  await page.locator("button[value=accept]").waitFor({ state: "detached" });
  await seen("kept", 0);
});
