/** Time from a datagram that calls for help to its row and its sound, at twenty times of what the service takes, or more. */
import { listen, sounds } from "../test/support/ears";
import { scenario, type Scene } from "../test/support/scenario";
import type { Vagn } from "../test/support/vagn";
import { eventually, sleep } from "../test/support/wait";
import { notice, noticed } from "./support/console";
import { APART, keep, pick } from "./support/figures";
import { door } from "./support/places";
import { limit } from "./support/quota";
import { keepOff } from "./support/thread";

const CALLS = pick(100, 10);
/** The console sounds once in 1.5 s at most, so calls come two at a time and a little further apart. */
const AT_A_TIME = 2;
const APART_MS = 1_700;
/** What is offered, in times of what is stored. */
const OVERLOAD = 20;
/** The service has 2 ms in each of the shortest of these at which one sender can offer it that much. */
const TURNS_MS = [15, 20, 26, 34, 45, 60, 80, 100];
/** Senders have the core of the service, which needs little of it then: a dispatcher's machine has nothing to do with them. */
const BESIDE = ["taskset", "-c", "0"];
const BUSY = /status of 503/;
const SCREEN = { viewport: { width: 1280, height: 800 }, deviceScaleFactor: 0.25, allow: [BUSY] };

scenario("calls for help at overload", APART, async ({ vagn, open, random, test }: Scene) => {
  const { page } = await open("about:blank", SCREEN);
  await notice(page);
  await listen(page);
  await page.goto(vagn.url("/incidents"));
  await page.getByText("No emergency waits for you.").waitFor();
  await page.locator("#map canvas").waitFor();
  await keepOff(page);
  const flood = vagn.command(["simulate", "--target", door(vagn), "--vehicles", "100000", "--rate", "max"], BESIDE);
  test.after(flood.stop);
  await eventually("the flood", async () => (await vagn.metric("vagn_reports_received_total")) > 100_000);
  const release = await overload(vagn);
  test.after(release);
  const before = await counts(vagn);
  const sent: Record<string, number> = {};
  for (let at = 0; at < CALLS; at += 1) {
    const ID = `bus ${at}`;
    await vagn.send({ ID, Lat: 30.1 + random() / 3, Lon: -97.9 + random() / 3, Emergency: true });
    sent[ID] = Date.now();
    if (at % AT_A_TIME === AT_A_TIME - 1) await sleep(APART_MS + 100 * random());
  }
  await eventually("all calls to be shown", async () => Object.keys((await noticed(page)).rows).length >= CALLS);
  await sleep(2_000);
  const after = await counts(vagn);
  release();
  await flood.stop();
  const { events, placed, rows } = await noticed(page);
  const heard = await sounds(page);
  const [placedMs, rowMs] = [placed, rows].map((times) => Object.entries(sent).map(([id, at]) => times[id]! - at));
  // One that came by the list, after the stream had broken, has no event.
  const ways = Object.entries(sent).flatMap(([id, at]) => (events[id] ? [{ ...events[id], sent: at, placed: placed[id]! }] : []));
  const waysMs = {
    "until the door took it": ways.map(({ sent, arrived }) => arrived - sent),
    "until it was told": ways.map(({ arrived, told }) => told - arrived),
    "until the page had read it": ways.map(({ told, read }) => read - told),
    "until its row was there": ways.map(({ read, placed }) => placed - read),
  };
  // The console may sound for a call a moment before its row is there.
  const soundMs = Object.values(sent).map((at) => (heard.find((sound) => sound > at) ?? Infinity) - at);
  const offered = ratio(before, after);
  keep("calls", { placedMs, rowMs, soundMs, waysMs, sounds: heard.length, offered });
});

/** Lets the service run only so much that enough is offered to it. Returns what lets it run on. */
async function overload(vagn: Vagn): Promise<() => void> {
  for (const turn of TURNS_MS.slice(0, -1)) {
    const release = limit(vagn.pid, 1_000 * turn);
    await sleep(500);
    const before = await counts(vagn);
    await sleep(3_000);
    if (ratio(before, await counts(vagn)) >= OVERLOAD) return release;
    release();
  }
  return limit(vagn.pid, 1_000 * TURNS_MS.at(-1)!);
}

type Counts = { stored: number; sent: number };

function ratio(before: Counts, after: Counts): number {
  return (after.sent - before.sent) / (after.stored - before.stored);
}

async function counts(vagn: Vagn): Promise<Counts> {
  const [received, dropped] = [await vagn.metric("vagn_reports_received_total"), await vagn.metric("vagn_udp_kernel_drops_total")];
  const shed = await vagn.metric("vagn_subscription_dropped_total");
  return { stored: received - shed, sent: received + dropped };
}
