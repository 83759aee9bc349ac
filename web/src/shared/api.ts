/** The API in types: each call of it that the pages make, and the shape of its answer. */
import { postJson, readJson, request, type Ask } from "./session";

// ---- Vehicles -------------------------------------------------------------------------------------------------------------

export interface Oddity {
  part: string;
  what: string;
  since: string;
  last: string;
  reports: number;
}

export interface VehicleProperties {
  /** Metres from the place that was asked for; only in answers about a place. */
  distance_m?: number;
  /** Below zero where the vehicle's clock runs ahead. */
  age_s: number;
  time: string;
  speed_mps?: number | null;
  heading_deg?: number | null;
  /** The latest report carried the flag, be it a real alarm or a drill. Missing where the place is approximate. */
  emergency_flag?: boolean;
  odd?: Oddity[];
}

export interface Vehicle {
  type: "Feature";
  id: string;
  geometry: { type: "Point"; coordinates: [lon: number, lat: number] };
  properties: VehicleProperties;
}

export interface Vehicles {
  type: "FeatureCollection";
  time: string;
  returned: number;
  truncated: boolean;
  /** A part of a fleet on many machines did not answer: its vehicles are missing. */
  partial?: true;
  missing_shards?: number[];
  features: Vehicle[];
}

export interface Box {
  west: number;
  south: number;
  east: number;
  north: number;
}

/** Vehicles in a box, in no order; with `west` above `east` it crosses the antimeridian. */
export function vehiclesIn(box: Box, limit: number, ask?: Ask): Promise<Vehicles> {
  const bbox = [box.west, box.south, box.east, box.north].join(",");
  return readJson(`/api/v1/vehicles?${new URLSearchParams({ bbox, limit: String(limit) })}`, ask);
}

/** One vehicle; a `Problem` of status 404 where it is not known. By a parameter, because not every id can stand in a path. */
export function vehicle(id: string, ask?: Ask): Promise<Vehicle> {
  return readJson(`/api/v1/vehicle?${query({ id })}`, ask);
}

/** True where the server tells the place to about 100 m, and neither speed nor heading nor emergency. */
export function isApproximate({ properties }: Vehicle): boolean {
  return properties.emergency_flag === undefined;
}

export interface Near {
  k?: number;
  radius_m?: number;
  max_age_s?: number;
}

/** Vehicles near a place, nearest first. */
export function nearby(lat: number, lon: number, near: Near, ask?: Ask): Promise<Vehicles> {
  return readJson(`/api/v1/vehicles/nearby?${query({ lat, lon, ...near })}`, ask);
}

// ---- Incidents ------------------------------------------------------------------------------------------------------------

export type IncidentState = "open" | "notified" | "acknowledged" | "resolved";

/** Something a person did, and when. */
export interface Deed {
  by: string;
  at: string;
  note: string | null;
}

export interface Place {
  lat: number;
  lon: number;
  time: string;
}

export interface Attempt {
  number: number;
  target: string;
  at: string;
  took_ms: number;
  outcome: "accepted" | "refused" | "failed";
  /** HTTP status of the answer; only where one came. */
  status?: number;
  /** Seconds for which the target wants no notice. */
  retry_after_s?: number;
  /** Reason of a failure, in a few words. */
  reason?: string;
}

export interface TargetCall {
  name: string;
  status: string;
  accepted_at: string | null;
  next_at: string | null;
}

export interface Call {
  status: "accepted" | "calling" | "pending" | "dead_letter" | "no_target";
  attempts: number;
  unrecorded: boolean;
  latest: Attempt[];
  targets: TargetCall[];
  escalation: { level: number; next_at: string | null };
}

export interface Incident {
  id: string;
  vehicle_id: string;
  state: IncidentState;
  quiet: boolean;
  /** True for a drill. */
  test: boolean;
  kind: "auto" | "manual" | "test" | null;
  vehicle_incident: string | null;
  raised_at: string;
  opened_at: string;
  updated_at: string;
  accepted_at: string | null;
  acknowledged: Deed | null;
  resolved: Deed | null;
  reports: number;
  /** `trusted`: the call came with it. `unsure`: its time cannot be, and is that of the arrival. */
  position: (Place & { trusted: boolean; unsure?: boolean }) | null;
  recent_positions: Place[];
  recorded: boolean;
  call: Call;
}

/** An attempt to tell a target, in the ledger of an incident. */
export interface LedgerEntry extends Attempt {
  kind: "opened" | "updated" | "escalated";
  next_at?: string;
}

/** A change of an incident, in its trail. */
export interface TrailEntry {
  /** Number of the entry in the trail of all incidents; 0 while it is not on disk. */
  seq: number;
  time: string;
  action: string;
  /** A person, a vehicle, a target or the service. */
  by: string;
  /** Reason, or an empty text. */
  reason: string;
}

export interface IncidentWithHistory extends Incident {
  /** Id that was asked for, where this incident took that one in. */
  joined_id?: string;
  ledger: LedgerEntry[];
  trail: TrailEntry[];
}

export interface IncidentPage {
  time: string;
  incidents: Incident[];
  next: string | null;
  /** False where the store could not be read: only unresolved incidents are listed. */
  complete: boolean;
}

export interface IncidentFilter {
  state?: IncidentState;
  vehicle_id?: string;
  test?: boolean;
  quiet?: boolean;
  dead_letter?: boolean;
  limit?: number;
  after?: string;
}

/** One page of incidents, newest first. */
export function incidents(filter: IncidentFilter, ask?: Ask): Promise<IncidentPage> {
  return readJson(`/api/v1/incidents?${query({ ...filter })}`, ask);
}

/** One incident with its ledger and its trail. */
export function incident(id: string, ask?: Ask): Promise<IncidentWithHistory> {
  return readJson(at(id), ask);
}

/** A `Problem` of status 409 tells who was first. */
export function acknowledge(id: string, by: string, note: string): Promise<IncidentWithHistory> {
  return postJson(`${at(id)}/acknowledge`, deed(by, note));
}

/** A `Problem` of status 409 tells who was first. */
export function resolve(id: string, by: string, note: string): Promise<IncidentWithHistory> {
  return postJson(`${at(id)}/resolve`, deed(by, note));
}

export function comment(id: string, by: string, text: string): Promise<IncidentWithHistory> {
  return postJson(`${at(id)}/comments`, { by, text });
}

/** Sends the notices of an incident again that a target refused for good. */
export function replay(id: string, by: string): Promise<IncidentWithHistory> {
  return postJson(`${at(id)}/replay`, { by });
}

/** Nearest vehicles that could go there, nearest first; a `Problem` named `no-position` where its place is not known. */
export function responders(id: string, near: Near, ask?: Ask): Promise<Vehicles> {
  return readJson(`${at(id)}/responders?${query({ ...near })}`, ask);
}

/** A call for help that cannot be proved, and so is no incident. */
export interface UnprovenCall {
  n: number;
  reason: string;
  vehicle_id: string | null;
  key_id: string | null;
  /** There is a key for its vehicle, or its key is one: anybody can make up the others without an end. */
  has_key: boolean;
  /** `null` where no door told it. */
  address: string | null;
  /** It says of itself that it is a drill; raised, it is one. */
  test: boolean;
  /** `null` where the place cannot be read. */
  lat: number | null;
  lon: number | null;
  first_at: string;
  last_at: string;
  count: number;
}

/** Calls for help that cannot be proved. */
export function unproven(ask?: Ask): Promise<{ calls: UnprovenCall[] }> {
  return readJson("/api/v1/incidents/unproven", ask);
}

/** Makes an incident of such a call; a `Problem` of status 404 where it is not in the list any more. */
export function raiseUnproven(n: number, by: string): Promise<Incident> {
  return postJson(`/api/v1/incidents/unproven/${n}/raise`, { by });
}

export const INCIDENT_EVENTS = "/api/v1/incidents/events";

/** Data of an `incident` event. */
export interface IncidentChange {
  change: string;
  time: string;
  incident: Incident;
}

/** Data of a `gap` event. */
export interface Gap {
  reason: string;
  reload: string;
}

function at(id: string): string {
  return `/api/v1/incidents/${encodeURIComponent(id)}`;
}

function deed(by: string, note: string): { by: string; note?: string } {
  return note === "" ? { by } : { by, note };
}

// ---- Targets --------------------------------------------------------------------------------------------------------------

/** Somebody whom the service tells about incidents. */
export interface Target {
  name: string;
  /** False while the target does not answer and is only probed. */
  up: boolean;
  /** Time from which `up` has been so. */
  since: string;
  failures?: number;
  waiting?: number;
}

export interface Targets {
  time: string;
  /** Targets of real incidents, in the order of their turns. */
  targets: Target[];
  drill: Target | null;
  /** What the operators are warned of, by its subject. */
  warnings?: Record<string, string>;
}

/** Targets as they are now. Cheap enough to be asked every two seconds, as a proof that the server is there. */
export function targets(ask?: Ask): Promise<Targets> {
  return readJson("/api/v1/targets", ask);
}

// ---- Audit ----------------------------------------------------------------------------------------------------------------

/** Number and hash of the last entry of the trail of all incidents, `<seq>:<hex>`. */
export function auditHead(ask?: Ask): Promise<{ head: string }> {
  return readJson("/api/v1/audit/head", ask);
}

/** Entries of the trail after number `after`, as NDJSON; the last line is the head. */
export async function auditTrail(after: number, limit: number, ask?: Ask): Promise<string> {
  const response = await request(`/api/v1/audit/trail?${query({ after, limit })}`, ask);
  return response.text();
}

function query(values: Record<string, string | number | boolean | undefined>): URLSearchParams {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined) params.set(name, String(value));
  }
  return params;
}
