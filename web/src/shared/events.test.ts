import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { EventParser, EventStream, pauseMs, type ServerEvent, type StreamState } from "./events";
import { Problem } from "./problem";

const TEXT =
  "retry: 1000\nid: 7-1\n\n:\n\nid: 7-2\nevent: incident\ndata: {\"a\":1}\n\nevent: gap\ndata:one\ndata: two\r\nid: 7-3\r\n\r\ndata: å\rdata\r\rid: 7-4\n\nevent: cut\ndata: x\n";

function parse(pieces: string[]): { events: ServerEvent[]; parser: EventParser } {
  const parser = new EventParser();
  return { events: pieces.flatMap((piece) => parser.push(piece)), parser };
}

const EXPECTED: ServerEvent[] = [
  { event: "incident", data: '{"a":1}', id: "7-2" },
  { event: "gap", data: "one\ntwo", id: "7-3" },
  { event: "message", data: "å\n", id: "7-3" },
];

test("events are read as the standard describes them", () => {
  const { events, parser } = parse([TEXT]);
  assert.deepEqual(events, EXPECTED);
  assert.deepEqual([parser.lastId, parser.retryMs], ["7-4", 1_000]);
});

test("events are the same wherever the text is cut", () => {
  for (let cut = 0; cut <= TEXT.length; cut += 1) {
    assert.deepEqual(parse([TEXT.slice(0, cut), TEXT.slice(cut)]).events, EXPECTED, `cut at ${cut}`);
  }
  assert.deepEqual(parse([...TEXT]).events, EXPECTED);
});

test("a new connection forgets a half-read event, and keeps the id", () => {
  const parser = new EventParser();
  parser.push("id: 5\n\nevent: incident\ndata: half");
  parser.restart();
  assert.deepEqual(parser.push("\uFEFFdata: whole\n\n"), [{ event: "message", data: "whole", id: "5" }]);
});

test("the pause before a try doubles up to its limit, and is spread", () => {
  assert.deepEqual([1, 2, 3, 9].map((failures) => pauseMs(failures, 1_000, 5_000, 1)), [1_000, 2_000, 4_000, 5_000]);
  assert.equal(pauseMs(1, 1_000, 5_000, 0), 500);
});

const realFetch = globalThis.fetch;
afterEach(() => {
  globalThis.fetch = realFetch;
});

/** An answer that sends `text`, and then ends, or stays silent until it is cut off. */
function answer(text: string, ends: boolean): (cut: AbortSignal | undefined) => Response {
  return (cut) => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(text));
        if (ends) controller.close();
        else cut?.addEventListener("abort", () => controller.error(cut.reason));
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
}
/** Runs a stream over `answers`, one per connection, until the last of them was asked for. */
async function follow(
  answers: ((cut: AbortSignal | undefined) => Response)[],
  silenceMs = 30,
  seen: (stream: EventStream) => void = () => {},
): Promise<{ ids: (string | null)[]; events: string[]; states: StreamState["kind"][] }> {
  const told = { ids: [] as (string | null)[], events: [] as string[], states: [] as StreamState["kind"][] };
  await new Promise<void>((resolve) => {
    globalThis.fetch = (_path, init) => {
      const give = answers[told.ids.length];
      told.ids.push(new Headers(init?.headers).get("last-event-id"));
      if (!give) {
        stream.stop();
        resolve();
        return Promise.reject(new TypeError("no more"));
      }
      return Promise.resolve(give(init?.signal ?? undefined));
    };
    const handlers = {
      event: (event: ServerEvent) => {
        told.events.push(event.data);
        seen(stream);
      },
      state: (state: StreamState) => told.states.push(state.kind),
    };
    const stream = new EventStream("/events", handlers, { silenceMs, random: () => 0 });
    stream.start();
  });
  return told;
}

test("a stream that ends comes back after the last event it has seen", async () => {
  const told = await follow([answer("retry: 1\nid: 7-1\n\nid: 7-2\ndata: a\n\n", true), answer("id: 7-3\ndata: b\n\n", true)]);
  assert.deepEqual(told.ids, [null, "7-2", "7-3"]);
  assert.deepEqual(told.events, ["a", "b"]);
  assert.deepEqual(told.states.slice(0, 4), ["connecting", "connected", "lost", "connected"]);
});

test("a stream that is refused tries again", async () => {
  const told = await follow([() => new Response("{}", { status: 503 }), answer("data: a\n\n", true)]);
  assert.deepEqual(told.events, ["a"]);
});

test("silence counts as a loss", async () => {
  const told = await follow([answer("retry: 1\ndata: a\n\n", false), answer("data: b\n\n", true)]);
  assert.deepEqual(told.events, ["a", "b"]);
  assert.deepEqual(told.states.slice(0, 4), ["connecting", "connected", "lost", "connected"]);
});

test("a connection that seems to be there is made anew when the line is back", async () => {
  const hour = 3_600_000;
  const told = await follow([answer("retry: 3600000\nid: 7-1\ndata: a\n\n", false), answer("id: 7-2\ndata: b\n\n", false)], hour, (stream) => stream.renew());
  assert.deepEqual(told.ids, [null, "7-1", "7-2"]);
  assert.deepEqual(told.events, ["a", "b"]);
});

test("a stream that is refused for good says so, and one that is stopped then asks no more", async () => {
  for (const status of [403, 404]) {
    let asked = 0;
    const states: StreamState[] = [];
    const stream = new EventStream(
      "/events",
      { event: () => {}, state: (state) => (states.push(state), state.kind === "refused" && stream.stop()) },
      { ask: () => ((asked += 1), Promise.reject(new Problem(status, {}))) },
    );
    stream.start();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(states, [{ kind: "connecting" }, { kind: "refused", status }]);
    assert.equal(asked, 1);
  }
});
