// Drives the hosted cancel page in headless Chromium: says that it costs too much, takes the offer, and prints the
// title of every page. Usage: node hosted-page.mjs ADDRESS [SCREENSHOT]
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [address, screenshot] = process.argv.slice(2);
const profile = await mkdtemp(join(tmpdir(), "hosted-page-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
try {
  const page = browser.pages()[0] ?? (await browser.newPage());
  page.on("console", (message) => console.error(`${message.type()}: ${message.text()}`));
  const seen = async () => {
    console.log(await page.title());
    // A customer can leave from every page before the end.
    return page.locator("[data-cancel-now]").count();
  };
  await page.goto(address);
  if ((await seen()) !== 1) throw new Error("no way to cancel on the first page");
  await page.locator("input[value=too_expensive]").check();
  await page.locator("button[value=next]").click();
  await page.waitForLoadState();
  if ((await seen()) !== 1) throw new Error("no way to cancel beside the offer");
  if (screenshot) await page.screenshot({ path: screenshot, fullPage: true });
  await page.locator("button[value=accept]").click();
  await page.waitForLoadState();
  if ((await seen()) !== 0) throw new Error("a way to cancel after the customer was saved");
} finally {
  await browser.close();
  await rm(profile, { recursive: true, force: true });
}
