/** What a person does to an incident: one request each, told in words if it is refused. */
import * as api from "../shared/api";
import type { Incident, IncidentWithHistory } from "../shared/api";
import { strings } from "../shared/strings";
import { needPerson, recordedName } from "./person";
import { refusal } from "./words";

const words = strings.console.act;

export type Act = "acknowledge" | "resolve" | "comment" | "replay";

export type Done =
  | { kind: "done"; incident: IncidentWithHistory; said: string }
  | { kind: "refused"; why: string }
  /** The person gave no name, and so did nothing. */
  | { kind: "dropped" };

/** Acts on an incident under the name of the person at this desk. */
export async function act(what: Act, incident: Incident, note: string, now: () => number): Promise<Done> {
  const by = await needPerson();
  if (by === null) return { kind: "dropped" };
  try {
    const after = await send(what, incident.id, by, note);
    const disk = isOnDisk(after, what, recordedName(by)) ? "" : ` ${words.notOnDisk}`;
    return { kind: "done", incident: after, said: words.done[what](incident.vehicle_id) + disk };
  } catch (error) {
    return { kind: "refused", why: refusal(error, incident, recordedName(by), now()) };
  }
}

/** The trail's word for an act. */
const ACTIONS: Record<Act, string> = { acknowledge: "acknowledged", resolve: "resolved", comment: "commented", replay: "replayed" };

/** True where the act itself is on disk. The incident may say it is not, when something else has happened to it since. */
export function isOnDisk({ recorded, trail }: IncidentWithHistory, what: Act, by: string): boolean {
  const entry = trail.findLast((one) => one.action === ACTIONS[what] && one.by === by);
  return entry ? entry.seq > 0 : recorded;
}

function send(what: Act, id: string, by: string, note: string): Promise<IncidentWithHistory> {
  switch (what) {
    case "acknowledge":
      return api.acknowledge(id, by, note);
    case "resolve":
      return api.resolve(id, by, note);
    case "comment":
      return api.comment(id, by, note);
    case "replay":
      return api.replay(id, by);
  }
}
