/** Sentences about incidents: states, notices, the trail and refusals, told as a person would. */
import type { Deed, Incident, LedgerEntry, TrailEntry } from "../shared/api";
import { isLastKnown, placeStanding } from "../shared/call-place";
import { Problem, describe } from "../shared/session";
import { strings } from "../shared/strings";
import { span } from "../shared/time";
import { place } from "../shared/units";
import { sectionOf } from "./arrange";
import { moment, running } from "./clock";
import { isNothing, type Missed } from "./missed";

const words = strings.console;

/** One word for the state, for a badge. */
export function stateWord(incident: Incident): string {
  if (incident.state === "resolved") return words.state.resolved;
  return incident.acknowledged ? words.state.acknowledged : words.state.waiting;
}

/** One line on who has it, or who was told. */
export function standing(incident: Incident, nowMs: number): string {
  if (incident.resolved) return words.standing.resolved(incident.resolved.by, moment(incident.resolved.at, nowMs));
  if (incident.acknowledged) {
    return words.standing.acknowledged(incident.acknowledged.by, moment(incident.acknowledged.at, nowMs));
  }
  return noticeStanding(incident);
}

/** One line on how far the notices are. */
export function noticeStanding({ call }: Incident): string {
  const accepted = call.targets.filter((one) => one.accepted_at !== null).map((one) => one.name);
  if (accepted.length > 0) return words.notice.accepted(list(accepted));
  const named = list(call.targets.map((one) => one.name));
  switch (call.status) {
    case "accepted":
      return words.notice.acceptedBySomebody;
    case "no_target":
      return words.notice.noTarget;
    case "dead_letter":
      return words.notice.deadLetter(named);
    case "calling":
      return words.notice.calling(named);
    default:
      return words.notice.pending(named, call.attempts);
  }
}

export function kindWord(incident: Incident): string {
  if (incident.test) return words.kind.test;
  if (incident.kind === "auto") return words.kind.auto;
  return incident.kind === "manual" ? words.kind.manual : words.kind.unsaid;
}

/** How far the place can be relied on. */
export function placeWords(incident: Incident, nowMs: number): string {
  if (!incident.position) return words.place.unknown;
  const when = moment(incident.position.time, nowMs);
  switch (placeStanding(incident)) {
    case "own":
      return words.place.trusted(when);
    case "since":
      return words.place.since(when);
    default:
      return words.place.lastKnown(when);
  }
}

/** Where it is, in a line: coordinates alone are the vehicle's own word, with the call or since. */
export function whereWords(incident: Incident): string {
  const { position } = incident;
  if (!position) return words.place.unknown;
  const at = place(position.lat, position.lon);
  return isLastKnown(incident) ? words.place.lastKnownAt(at) : at;
}

/** A notice of the ledger as a sentence. */
export function ledgerSentence(entry: LedgerEntry): string {
  const what = words.ledger.message[entry.kind] ?? entry.kind;
  const took = entry.took_ms < 1_000 ? `${entry.took_ms} ms` : span(entry.took_ms / 1_000);
  return `${words.ledger.told(entry.target, what)} ${ledgerOutcome(entry, took)}`;
}

function ledgerOutcome(entry: LedgerEntry, took: string): string {
  const status = entry.status ?? 0;
  if (entry.outcome === "accepted") return words.ledger.accepted(took);
  if (entry.outcome === "failed") return words.ledger.failed(entry.reason ?? "", took);
  return words.ledger.refused(status, took, entry.next_at === undefined);
}

/** An entry of the trail as a sentence. */
export function trailSentence(entry: TrailEntry): string {
  const tell = (words.trail as Record<string, ((by: string) => string) | undefined>)[entry.action];
  return tell ? tell(entry.by) : words.trailOther(entry.action, entry.by);
}

/** The service's own reasons for an opening, in the words in which the page tells of the kind. */
const OPENED_BY: Record<string, string> = { "the flag": words.kind.unsaid, auto: words.kind.auto, manual: words.kind.manual, test: words.kind.test };

/** Reason of an entry of the trail that no person wrote. */
export function reasonWords({ action, reason }: TrailEntry): string {
  return (action === "opened" ? OPENED_BY[reason] : undefined) ?? reason;
}

/** Actions of the trail whose reason was written by a person, and is shown as a quotation. */
export function isQuotation(action: string): boolean {
  return action === "acknowledged" || action === "commented" || action === "resolved" || action === "replayed";
}

/** What a refused request means to the person who made it. */
export function refusal(error: unknown, incident: Incident, me: string, nowMs: number): string {
  if (!(error instanceof Problem)) return words.act.failed(describe(error));
  if (error.kind === "conflict") return conflict(error, incident, me, nowMs);
  if (error.status === 503) return words.act.busy;
  return words.act.failed(error.message);
}

function conflict(error: Problem, incident: Incident, me: string, nowMs: number): string {
  const { state, by, at, note } = error.body;
  const first = typeof by === "string" ? by : "";
  const deed = state === "resolved" ? words.act.resolvedDeed : words.act.acknowledgedDeed;
  const when = typeof at === "string" ? moment(at, nowMs) : "";
  const said = typeof note === "string" && note !== "" ? words.act.saying(note) : "";
  if (first === "") return error.message;
  return (first === me ? words.act.youWereFirst(deed, incident.vehicle_id, when) : words.act.wasFirst(first, deed, incident.vehicle_id, when)) + said;
}

/** One deed with its note, and how long after the opening it came. */
export function deedWords(deed: Deed, openedAt: string, nowMs: number): string {
  const note = deed.note ? words.act.saying(deed.note) : "";
  const after = words.act.after(running(Date.parse(deed.at) - Date.parse(openedAt)));
  return `${deed.by}, ${moment(deed.at, nowMs)}${after}${note}`;
}

/** Names in a row: `A`, `A and B`, `A, B and C`. */
export function list(names: string[]): string {
  if (names.length <= 1) return names[0] ?? "";
  return `${names.slice(0, -1).join(", ")} ${words.and} ${names.at(-1) ?? ""}`;
}

/** Says a new incident to those who listen. */
export function newSentence(incidents: Incident[]): string {
  const drills = incidents.filter((one) => one.test);
  const real = incidents.filter((one) => !one.test);
  return [realSentence(real), drillSentence(drills)].filter((text) => text !== "").join(" ");
}

function realSentence(real: Incident[]): string {
  const [first] = real;
  if (!first) return "";
  if (real.length > 1) return words.say.newMany(real.length);
  const where = whereWords(first);
  return words.say.newOne(first.vehicle_id, first.position && !isLastKnown(first) ? words.say.placeAt(where) : where);
}

function drillSentence(drills: Incident[]): string {
  const [first] = drills;
  if (!first) return "";
  return drills.length > 1 ? words.say.drillMany(drills.length) : words.say.drillOne(first.vehicle_id);
}

/** Says who did what to an incident, or nothing where no person did. */
export function changeSentence(change: string, incident: Incident): string {
  const { vehicle_id: vehicle, acknowledged, resolved, test } = incident;
  const what = test ? words.say.ofDrill(vehicle) : words.say.ofEmergency(vehicle);
  if (change === "acknowledged" && acknowledged) return words.say.acknowledged(acknowledged.by, what);
  if (change === "resolved" && resolved) return words.say.resolved(resolved.by, what);
  return change === "heard" && sectionOf(incident) !== "resolved" ? words.say.heard(what) : "";
}

/** Most vehicles that are named; of the others only the number is told. */
const NAMED_MAX = 6;

/** What happened while there was no contact. */
export function missedSentence(one: Missed, awayMs: number): string {
  const parts = [words.missed.away(span(Math.max(1_000, awayMs) / 1_000)), isNothing(one) ? words.missed.nothing : words.missed.meanwhile];
  if (one.opened.length > 0) parts.push(words.missed.opened(one.opened.length, named(one.opened, (it) => it.vehicle_id)));
  if (one.acknowledged.length > 0) {
    parts.push(words.missed.acknowledged(one.acknowledged.length, named(one.acknowledged, (it) => by(it, it.acknowledged))));
  }
  if (one.resolved.length > 0) parts.push(words.missed.resolved(one.resolved.length, named(one.resolved, (it) => by(it, it.resolved))));
  if (one.drills > 0) parts.push(words.missed.drills(one.drills));
  return parts.join(" ");
}

function by(incident: Incident, deed: Deed | null): string {
  return deed ? words.missed.by(incident.vehicle_id, deed.by) : incident.vehicle_id;
}

function named(incidents: Incident[], name: (incident: Incident) => string): string {
  const names = incidents.slice(0, NAMED_MAX).map(name);
  const more = incidents.length - names.length;
  return list(more > 0 ? [...names, words.missed.more(more)] : names);
}
