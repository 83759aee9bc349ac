import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { INCIDENT_EVENTS, type Incident } from "../shared/api";
import { ServerClock } from "./clock";
import { Feed } from "./feed";
import { AT, sample } from "./sample";
import { Store } from "./store";

const INCIDENTS = "/api/v1/incidents";

/** A server whose list and stream are in the hand of the test. */
class Server {
  list: Incident[] = [];
  readsList = true;
  /** What it answers about incidents that are asked for by their ids. */
  single: () => Response = () => new Response("{}", { status: 404 });
  private stream: ReadableStreamDefaultController<Uint8Array> | null = null;

  readonly fetch = (path: unknown, init?: RequestInit): Promise<Response> => {
    const { pathname, searchParams } = new URL(String(path), "https://vagn");
    if (pathname === INCIDENT_EVENTS) return Promise.resolve(this.events(init?.signal));
    if (!this.readsList) return Promise.resolve(new Response("{}", { status: 503 }));
    if (pathname !== INCIDENTS) return Promise.resolve(this.single());
    const incidents = this.list.filter((one) => one.state === searchParams.get("state"));
    return Promise.resolve(Response.json({ time: AT, incidents, next: null, complete: true }));
  };

  send(text: string): void {
    this.stream?.enqueue(new TextEncoder().encode(text));
  }

  breakOff(): void {
    this.stream?.error(new TypeError("network error"));
  }

  private events(cut: AbortSignal | null | undefined): Response {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.stream = controller;
        cut?.addEventListener("abort", () => controller.error(cut.reason));
      },
    });
    return new Response(body);
  }
}

/** A feed over such a server, and what it has told. */
class Bench {
  readonly server = new Server();
  readonly store = new Store();
  inContact = true;
  hasTargets = false;
  /** Vehicles that were named as new, once for each time that contact came back. */
  readonly missed: string[][] = [];
  streaming = false;
  readonly feed = new Feed(this.store, new ServerClock(), {
    added: () => {},
    changed: () => {},
    stream: ({ kind }) => (this.streaming = kind === "connected"),
    inContact: () => this.inContact,
    hasTargets: () => this.hasTargets,
    caughtUp: ({ opened }) => this.missed.push(opened.map((one) => one.vehicle_id)),
  });

  /** Opens the page, with tram 4 in its list. */
  static async open(): Promise<Bench> {
    const bench = new Bench();
    globalThis.fetch = bench.server.fetch;
    bench.calls("4");
    bench.feed.start();
    await settled();
    assert.ok(bench.knows("4") && bench.streaming);
    return bench;
  }

  calls(tram: string): void {
    this.server.list.push(sample({ id: tram, vehicle_id: `tram ${tram}` }));
  }

  knows(tram: string): boolean {
    return this.store.get(tram) !== undefined;
  }

  /** Contact is lost, tram 6 calls, and the stream is back before the server has proved contact. */
  async comesBackByStream(): Promise<void> {
    this.inContact = false;
    this.feed.lost(Date.now());
    this.server.breakOff();
    await settled();
    this.calls("6");
    this.feed.hurry();
    await settled();
    assert.ok(this.knows("6") && this.streaming, "the row is there at once");
    // As the page does every second while contact is lost.
    this.feed.lost(Date.now());
  }
}

const realFetch = globalThis.fetch;
let nowMs = 0;

beforeEach(() => {
  // No pause and no limit runs out by itself.
  mock.timers.enable({ apis: ["setTimeout"] });
  nowMs = 0;
  mock.method(performance, "now", () => nowMs);
});

afterEach(() => {
  globalThis.fetch = realFetch;
  mock.timers.reset();
  mock.restoreAll();
});

/** Lets all that can go on without a timer go on. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

test("what was missed is told once, with the proof of contact, though the stream was back before", async () => {
  const bench = await Bench.open();
  await bench.comesBackByStream();
  assert.deepEqual(bench.missed, [], "contact is not proved yet");
  bench.inContact = true;
  bench.feed.renew();
  await settled();
  assert.deepEqual(bench.missed, [["tram 6"]]);
});

test("what was missed is told although the stream was not made anew with the proof of contact", async () => {
  const bench = await Bench.open();
  await bench.comesBackByStream();
  bench.inContact = true;
  nowMs += 5_000;
  bench.feed.tick();
  await settled();
  assert.deepEqual(bench.missed, [["tram 6"]]);
});

test("a list that could not be read after a gap is read again", async () => {
  const bench = await Bench.open();
  bench.server.readsList = false;
  bench.calls("6");
  bench.server.send('event: gap\ndata: {"reason":"slow"}\n\n');
  await settled();
  bench.server.readsList = true;
  assert.ok(!bench.knows("6"));
  nowMs += 5_000;
  bench.feed.tick();
  await settled();
  assert.ok(bench.knows("6"));
});

test("an incident that left the list stays until the server says how it ended", async () => {
  const bench = await Bench.open();
  bench.server.list = [];
  bench.server.single = () => new Response("{}", { status: 503 });
  bench.server.send('event: gap\ndata: {"reason":"slow"}\n\n');
  await settled();
  assert.equal(bench.store.get("4")?.state, "notified");
  bench.server.single = () => Response.json(sample({ id: "4", vehicle_id: "tram 4", state: "resolved" }));
  nowMs += 5_000;
  bench.feed.tick();
  await settled();
  assert.equal(bench.store.get("4")?.state, "resolved");
});

test("an incident that left the list and that the server does not know leaves the console", async () => {
  const bench = await Bench.open();
  bench.server.list = [];
  bench.server.send('event: gap\ndata: {"reason":"slow"}\n\n');
  await settled();
  assert.ok(!bench.knows("4"));
});

test("an incident that left the list because another one took it in gives way to that one", async () => {
  const bench = await Bench.open();
  bench.server.list = [];
  // In a cluster the id of the one leads to the other.
  bench.server.single = () => Response.json(sample({ id: "5", vehicle_id: "tram 4" }));
  bench.server.send('event: gap\ndata: {"reason":"slow"}\n\n');
  await settled();
  assert.ok(!bench.knows("4") && bench.knows("5"));
});

test("while an emergency waits for its targets the list is read again, as no event tells of tries that fail", async () => {
  const bench = await Bench.open();
  const call = { ...sample().call, attempts: 0, targets: [] };
  const tram = sample({ id: "6", vehicle_id: "tram 6", call: { ...call, status: "no_target" as const } });
  bench.server.send(`event: incident\ndata: ${JSON.stringify({ change: "opened", time: AT, incident: tram })}\n\n`);
  bench.server.list.push({ ...tram, call: { ...call, status: "pending", attempts: 3 } });
  await settled();
  nowMs += 5_000;
  bench.feed.tick();
  await settled();
  assert.equal(bench.store.get("6")?.call.attempts, 0, "nobody can be told, so nothing changes");
  bench.hasTargets = true;
  bench.feed.tick();
  await settled();
  assert.equal(bench.store.get("6")?.call.attempts, 3);
});
