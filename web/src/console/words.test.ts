import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call, LedgerEntry, TrailEntry } from "../shared/api";
import { Problem } from "../shared/session";
import { isOnDisk } from "./acts";
import { running, ServerClock } from "./clock";
import { incidentInLink, linkTo } from "./link";
import { AT, AT_MS, deed, sample } from "./sample";
import { isUntold } from "./arrange";
import { changeSentence, ledgerSentence, list, missedSentence, newSentence, noticeStanding, placeWords, reasonWords, refusal, trailSentence, whereWords } from "./words";

const call = (special: Partial<Call>): Call => ({ ...sample().call, targets: [], ...special });

test("the second dispatcher reads who was first, with the note", () => {
  const problem = new Problem(409, {
    type: "urn:vagn:problem:conflict", detail: "…", state: "acknowledged", by: "Bo", at: AT, note: "on our way",
  });
  const told = refusal(problem, sample(), "Anna", AT_MS);
  assert.match(told, /^Bo was first and has acknowledged bus 7, .*\(08:15:30 UTC\) – “on our way”$/);
  assert.match(refusal(problem, sample(), "Bo", AT_MS), /^You have already acknowledged bus 7/);
});

test("other refusals are told by their reason", () => {
  const problem = new Problem(422, { type: "urn:vagn:problem:invalid-field", detail: "`by` is too long" });
  assert.equal(refusal(problem, sample(), "Anna", AT_MS), "This was not done: `by` is too long");
  assert.match(refusal(new Problem(503, {}), sample(), "Anna", AT_MS), /Try again/);
  assert.equal(refusal(new TypeError("fetch"), sample(), "Anna", AT_MS), "This was not done: The server cannot be reached.");
});

test("the notices are told by what the targets have done", () => {
  const target = (name: string, accepted: boolean) => ({ name, status: "pending", accepted_at: accepted ? AT : null, next_at: null });
  for (const [special, expected] of [
    [{ targets: [target("a", true), target("b", true), target("c", false)] }, "Told: a and b"],
    [{ status: "no_target" }, "Nobody else is told: no target is set"],
    [{ status: "calling", targets: [target("a", false)] }, "Calling a…"],
    [{ status: "pending", attempts: 0, targets: [] }, "Nobody is told yet"],
    [{ status: "pending", attempts: 0, targets: [target("a", false)] }, "Calling a…"],
    [{ status: "pending", attempts: 3, targets: [target("a", false)] }, "Nobody else knows yet: a has not accepted after 3 tries"],
    [{ status: "dead_letter", targets: [target("a", false)] }, "Nobody else knows: a refused the notice for good"],
  ] as const) {
    assert.equal(noticeStanding(sample({ call: call(special as Partial<Call>) })), expected);
  }
  assert.ok(isUntold(sample({ call: call({ status: "pending" }) })));
  assert.ok(!isUntold(sample()));
});

test("a notice of the ledger is a sentence", () => {
  const entry: LedgerEntry = { number: 1, target: "county", kind: "opened", at: AT, took_ms: 12, outcome: "accepted", status: 200 };
  assert.equal(ledgerSentence(entry), "county was told. It accepted after 12 ms.");
  assert.equal(
    ledgerSentence({ ...entry, outcome: "refused", status: 410 }),
    "county was told. It refused with status 410 after 12 ms, and is not asked again by itself.",
  );
  assert.match(ledgerSentence({ ...entry, outcome: "refused", status: 503, next_at: AT }), /and is asked again\.$/);
  assert.equal(
    ledgerSentence({ ...entry, outcome: "failed", reason: "connection refused" }),
    "county was told. That failed after 12 ms: connection refused.",
  );
});

test("every action of the trail is a sentence, an unknown one too", () => {
  const entry = (action: string): TrailEntry => ({ seq: 1, time: AT, action, by: "Anna", reason: "" });
  assert.equal(trailSentence(entry("acknowledged")), "Anna acknowledged it.");
  assert.equal(trailSentence(entry("opened")), "Anna called for help.");
  assert.equal(trailSentence(entry("later_word")), "Anna: later_word.");
});

test("news are said with drills apart", () => {
  assert.equal(newSentence([sample()]), "New emergency: bus 7. Place: 59.33000, 18.06000.");
  assert.equal(newSentence([sample({ test: true })]), "New drill: bus 7.");
  assert.equal(newSentence([sample(), sample(), sample({ test: true })]), "2 new emergencies. New drill: bus 7.");
  assert.equal(changeSentence("acknowledged", sample({ acknowledged: deed("Bo") })), "Bo acknowledged the emergency of bus 7.");
  assert.equal(changeSentence("resolved", sample({ test: true, resolved: deed("Bo") })), "Bo resolved the drill of bus 7.");
  assert.equal(changeSentence("updated", sample()), "");
});

test("what was missed names the vehicles and who acted, and counts the rest", () => {
  const many = Array.from({ length: 9 }, (_, place) => sample({ vehicle_id: `bus ${place}` }));
  const nothing = { opened: [], acknowledged: [], resolved: [], drills: 0 };
  assert.equal(missedSentence(nothing, 43_000), "There was no contact for 43 s. Nothing happened meanwhile.");
  assert.equal(
    missedSentence({ ...nothing, opened: many, acknowledged: [sample({ acknowledged: deed("Bo") })], drills: 1 }, 43_000),
    "There was no contact for 43 s. Meanwhile: 9 new emergencies: bus 0, bus 1, bus 2, bus 3, bus 4, bus 5 and 3 more. " +
      "1 acknowledged: bus 7 by Bo. 1 new drill.",
  );
});

test("names in a row are told as people do", () => {
  assert.deepEqual([[], ["a"], ["a", "b"], ["a", "b", "c"]].map(list), ["", "a", "a and b", "a, b and c"]);
});

test("an act is on disk when its own entry of the trail is", () => {
  const entry = (seq: number): TrailEntry => ({ seq, time: AT, action: "acknowledged", by: "Anna", reason: "" });
  const after = (seq: number, recorded: boolean) => ({ ...sample({ recorded }), ledger: [], trail: [entry(seq)] });
  assert.ok(isOnDisk(after(7, false), "acknowledge", "Anna"));
  assert.ok(!isOnDisk(after(0, false), "acknowledge", "Anna"));
  assert.ok(!isOnDisk(after(0, false), "comment", "Anna"));
});

test("the running clock shows the largest unit that counts", () => {
  for (const [ms, text] of [[-5, "0:00"], [7_999, "0:07"], [765_000, "12:45"], [11_232_000, "3:07:12"], [184_032_000, "2 d 03:07:12"]] as const) {
    assert.equal(running(ms), text);
  }
});

test("the server's clock counts, however wrong the one of the desk is", () => {
  const clock = new ServerClock(() => 5_000);
  clock.sync(AT, 4_000, 4_200);
  assert.equal(clock.now(), AT_MS + 900);
  clock.sync("2030-01-01T00:00:00.000Z", 4_200, 9_999);
  assert.equal(clock.now(), AT_MS + 900, "a slow answer tells the time too late");
});

test("an incident is found in a link, and a link leads to it", () => {
  assert.equal(incidentInLink(linkTo("019ab3c4-5d6e")), "019ab3c4-5d6e");
  assert.deepEqual(["", "#", "#incident=", "#map=1"].map(incidentInLink), [null, null, null, null]);
});

test("why an emergency was opened is told in the words for its kind", () => {
  const opened = (reason: string): TrailEntry => ({ seq: 1, time: AT, action: "opened", by: "bus 7", reason });
  const told = ["the flag", "manual", "raised by a person"].map((reason) => reasonWords(opened(reason)));
  assert.deepEqual(told, ["The vehicle did not say how it was raised", "Raised by a person in the vehicle", "raised by a person"]);
  assert.equal(reasonWords({ ...opened("manual"), action: "quiet" }), "manual");
});

test("a place of before the call is told as the last known one, wherever it stands", () => {
  const at = (trusted: boolean) => sample({ position: { lat: 59.33, lon: 18.06, time: AT, trusted } });
  const since = sample({ position: { lat: 59.33, lon: 18.06, time: new Date(AT_MS + 9_000).toISOString(), trusted: false } });
  assert.equal(whereWords(since), "59.33000, 18.06000");
  assert.match(placeWords(since, AT_MS), /^Reported since the alarm, /);
  assert.equal(whereWords(at(true)), "59.33000, 18.06000");
  assert.equal(whereWords(at(false)), "Last known place: 59.33000, 18.06000");
  assert.equal(newSentence([at(false)]), "New emergency: bus 7. Last known place: 59.33000, 18.06000.");
  assert.match(placeWords(at(false), AT_MS), /^Last known place, from .*: the vehicle may be elsewhere by now$/);
  assert.equal(newSentence([sample({ position: null })]), "New emergency: bus 7. Place not known.");
});
