/** Cost of an update of the map, and of a frame between two of them, to the page's main thread. */
import { mapReady } from "../test/support/map";
import { scenario, type Scene } from "../test/support/scenario";
import { eventually, sleep } from "../test/support/wait";
import { APART, keep, pick } from "./support/figures";
import { MIDDLE, SIZE, writeTrace, ZOOM } from "./support/fleet";
import { connect, drawnCount, drawOften, forget, noted, watch } from "./support/rounds";
import { cpuMs, mainThread } from "./support/thread";

/** Time for which the vehicles move, and are watched moving. */
const MOVE_S = pick(26, 14);
const WATCH_S = pick(15, 5);
/** Time for which they stand, and frames that are asked for in it. */
const STAND_S = pick(8, 4);
const FRAMES_PER_S = 10;
/** Pixels are made by the processor where there is no graphics card: a sixteenth of them leaves it time, and is the same to the script. */
const SCREEN = { viewport: SIZE, deviceScaleFactor: 0.25 };
/** Longest way of a vehicle on the map, in ms. */
const ARRIVE_MS = 4_000;

for (const vehicles of [500, 50_000]) {
  scenario(`an update with ${vehicles} vehicles`, APART, (scene) => measure(scene, vehicles));
}

async function measure({ vagn, open, test }: Scene, vehicles: number): Promise<void> {
  const trace = await writeTrace(vagn, vehicles, MOVE_S);
  const window = await open("about:blank", SCREEN);
  const { page } = window;
  await watch(page);
  await page.goto(vagn.url(`/#map=${ZOOM}/${MIDDLE.lat}/${MIDDLE.lon}`));
  await mapReady(page);
  await connect(page);
  const traffic = vagn.command(["replay", "--over", "tcp", "--target", `127.0.0.1:${vagn.port("tcp")}`, trace]);
  test.after(traffic.stop);
  await eventually("all vehicles", async () => (await drawnCount(page)) >= vehicles);
  const thread = await mainThread(page);
  // The browser has seen the code often enough to make it fast.
  await sleep(5_000);
  const moving = await during(WATCH_S);
  const { rounds } = moving;
  await traffic.ended;
  await sleep(ARRIVE_MS);
  await drawOften(page, FRAMES_PER_S);
  const standing = await during(STAND_S);
  keep("update", { vehicles, precedes: thread.precedes, rounds: rounds.slice(0, -1), moving, standing: { ...standing, rounds: [] } });

  async function during(seconds: number) {
    await forget(page);
    const before = cpuMs(thread);
    const begin = performance.now();
    await sleep(seconds * 1_000);
    const took = { cpuMs: cpuMs(thread) - before, seconds: (performance.now() - begin) / 1_000 };
    return { ...took, ...(await noted(page)) };
  }
}
