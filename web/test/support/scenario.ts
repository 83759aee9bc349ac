/** A test with a service and a browser of its own; whatever happens, both are gone afterwards. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { Browser } from "playwright-core";
import { launch, type View, Window } from "./browser";
import { chance, SEED } from "./chance";
import { type Start, Vagn } from "./vagn";

export interface Scene {
  vagn: Vagn;
  /** Numbers from 0 up to 1, the same in every run with this seed. */
  random: () => number;
  /** Opens a page of the service, or another address. Nothing may go wrong in it until the end of the test, but for what `view.allow` names. */
  open: (path: string, view?: View) => Promise<Window>;
  test: TestContext;
}

/** Longest time for a whole test, in ms. */
const TEST_LIMIT_MS = 180_000;

/** Declares a test. `start` says how the service is started. */
export function scenario(name: string, start: Start, body: (scene: Scene) => Promise<void>): void {
  test(name, { timeout: TEST_LIMIT_MS }, async (context) => {
    context.diagnostic(`SEED=${SEED}`);
    const vagn = await Vagn.start(start);
    let browser: Browser | undefined;
    const windows: Window[] = [];
    const open = async (path: string, view?: View): Promise<Window> => {
      browser ??= await launch();
      const window = await Window.open(browser, path.startsWith("/") ? vagn.url(path) : path, view);
      windows.push(window);
      return window;
    };
    try {
      await body({ vagn, random: chance(), open, test: context });
      assert.deepEqual(windows.flatMap((window) => window.faults), [], "something went wrong in a page");
    } catch (err) {
      console.error(`what went wrong in the pages: ${JSON.stringify(windows.flatMap((window) => window.faults), null, 1)}`);
      console.error(`the end of the service's log:\n${vagn.log.split("\n").slice(-20).join("\n")}`);
      await Promise.allSettled(windows.map((window, at) => window.picture(`failed-${name.replaceAll(/\W+/g, "-")}-${at}`)));
      throw err;
    } finally {
      await browser?.close();
      await vagn.close();
    }
  });
}
