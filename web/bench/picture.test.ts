/** Time until somebody who opens the map for the first time sees it. */
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { launch, Window } from "../test/support/browser";
import { Vagn } from "../test/support/vagn";
import { eventually, sleep } from "../test/support/wait";
import { APART, everywhere, keep, pick } from "./support/figures";
import { door } from "./support/places";
import { noticeLand, seen } from "./support/picture";

const VEHICLES = 20_000;
const RUNS = pick(5, 2);
/** Time for which a browser is busy with its own start, in ms. */
const SETTLE_MS = 2_000;

test("the first picture", { timeout: 180_000 }, async (context) => {
  const vagn = await Vagn.start(APART);
  context.after(() => vagn.close());
  everywhere();
  await vagn.command(["simulate", "--target", door(vagn), "--vehicles", `${VEHICLES}`, "--count", `${VEHICLES}`, "--rate", "20000", "--full"]).ended;
  for (let run = 0; run < RUNS; run += 1) {
    // A browser of its own has no file, no compiled script and no program of the graphics card from an earlier run.
    const browser = await launch();
    try {
      const { page } = await Window.open(browser, "about:blank");
      await sleep(SETTLE_MS);
      await noticeLand(page);
      await page.goto(vagn.url("/"), { waitUntil: "commit" });
      await eventually("land", async () => (await seen(page)).land > 0);
      const folder = process.env["PICTURES"];
      if (folder) writeFileSync(`${folder}/first-${run}.png`, await page.screenshot());
      keep("picture", { ...(await seen(page)) });
    } finally {
      await browser.close();
    }
  }
});
