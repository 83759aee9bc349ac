/** An incident for tests, as the API gives one; each test names what is special about its own. */
import type { Incident } from "../shared/api";

export const AT = "2026-11-22T08:15:30.120Z";
export const AT_MS = Date.parse(AT);

export function sample(special: Partial<Incident> = {}): Incident {
  return {
    id: "01",
    vehicle_id: "bus 7",
    state: "notified",
    quiet: false,
    test: false,
    kind: "manual",
    vehicle_incident: null,
    raised_at: AT,
    opened_at: AT,
    updated_at: AT,
    accepted_at: AT,
    acknowledged: null,
    resolved: null,
    reports: 1,
    position: { lat: 59.33, lon: 18.06, time: AT, trusted: true },
    recent_positions: [],
    recorded: true,
    call: {
      status: "accepted",
      attempts: 1,
      unrecorded: false,
      latest: [],
      targets: [{ name: "primary", status: "accepted", accepted_at: AT, next_at: null }],
      escalation: { level: 0, next_at: null },
    },
    ...special,
  };
}

export function deed(by: string, note: string | null = null): { by: string; at: string; note: string | null } {
  return { by, at: AT, note };
}
