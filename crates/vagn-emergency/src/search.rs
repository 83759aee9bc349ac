//! Search for incidents at the desk and in the store. What is at the desk is newer.
//!
//! Recording goes on meanwhile, and moves what is over from the desk to the store. So the desk is read first and the
//! store after it: an incident that leaves the one in between is found in the other.

use std::collections::BTreeMap;

use vagn_otp::CallError;

use crate::desk::{Desk, Moment};
use crate::id::IncidentId;
use crate::lane::Lane;
use crate::record::incident::Incident;
use crate::record::progress::State;
use crate::record::store::{Store, StoreError};
use crate::show::view::{Detail, Filter, IncidentView, LedgerView, PAGE_MAX, Page, TrailPage, TrailView};
use crate::trail::Ends;

/// Records that one search looks at: half a second, for which other queries have to wait.
const LOOKED_AT_MAX: usize = 5_000;

/// Query for incidents, newest first.
pub(crate) struct IncidentQuery {
    pub(crate) filter: Filter,
    /// Most incidents in the answer.
    pub(crate) limit: usize,
    /// Only incidents that are older than this one.
    pub(crate) after: Option<IncidentId>,
}

/// The store cannot be read, so it is not known whether it has the incident, or what happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

impl From<Unreadable> for CallError {
    fn from(Unreadable: Unreadable) -> Self {
        Self::Down
    }
}

/// Returns the incident `id`, or the one that took it in, from the desk or from the store.
pub(crate) fn find_record(lane: &Lane, id: IncidentId) -> Result<Option<Incident>, Unreadable> {
    if let Some(incident) = record_of(lane, id)? {
        return Ok(Some(incident));
    }
    joined_into(lane, id)?.map_or(Ok(None), |into| record_of(lane, into))
}

/// Returns the incident that took `id` in.
fn joined_into(lane: &Lane, id: IncidentId) -> Result<Option<IncidentId>, Unreadable> {
    from_store(lane, |store| store.joined_into(id))
}

fn record_of(lane: &Lane, id: IncidentId) -> Result<Option<Incident>, Unreadable> {
    let at_desk = lane.desk.lock().get(id).cloned();
    at_desk.map_or_else(|| stored(lane, id), |incident| Ok(Some(incident)))
}

fn stored(lane: &Lane, id: IncidentId) -> Result<Option<Incident>, Unreadable> {
    from_store(lane, |store| store.get(id))
}

fn from_store<T>(lane: &Lane, read: impl FnOnce(&Store) -> Result<T, StoreError>) -> Result<T, Unreadable> {
    let store = lane.shelf.store().ok_or(Unreadable)?;
    read(&store).map_err(|err| {
        lane.store_failed(&err);
        Unreadable
    })
}

/// Returns the incident `id`, or the one that took it in, with all that happened to it.
pub(crate) fn look_up(lane: &Lane, id: IncidentId) -> Result<Option<Detail>, Unreadable> {
    if let Some(detail) = detail_of(lane, id)? {
        return Ok(Some(detail));
    }
    let Some(into) = joined_into(lane, id)? else { return Ok(None) };
    Ok(detail_of(lane, into)?.map(|detail| Detail { joined_id: Some(id), ..detail }))
}

fn detail_of(lane: &Lane, id: IncidentId) -> Result<Option<Detail>, Unreadable> {
    if let Some((incident, pending)) = at_desk(lane, id) {
        // It goes on, so its state counts even while its past cannot be read.
        let mut past = past(lane, id).unwrap_or_default();
        past.extend(pending);
        return Ok(Some(past.of(incident)));
    }
    let Some(incident) = stored(lane, id)? else { return Ok(None) };
    let past = past(lane, id)?;
    Ok(Some(past.of(show(lane, &lane.desk.lock(), &incident))))
}

/// Past of an incident.
#[derive(Default)]
struct Past {
    ledger: Vec<LedgerView>,
    trail: Vec<TrailView>,
}

impl Past {
    fn of(self, incident: IncidentView) -> Detail {
        Detail { incident, joined_id: None, ledger: self.ledger, trail: self.trail }
    }

    /// Adds what waited to be written, except what has been written since.
    fn extend(&mut self, pending: Self) {
        for attempt in pending.ledger {
            if self.ledger.iter().all(|written| written.number != attempt.number) {
                self.ledger.push(attempt);
            }
        }
        // Two pending events may tell the same, so only the written ones are compared.
        let written = self.trail.len();
        for event in pending.trail {
            if !self.trail[..written].iter().any(|entry| entry.tells_the_same(&event)) {
                self.trail.push(event);
            }
        }
    }
}

/// Returns the incident `id` as it is at the desk, with what waits to be written.
fn at_desk(lane: &Lane, id: IncidentId) -> Option<(IncidentView, Past)> {
    let desk = lane.desk.lock();
    let incident = show(lane, &desk, desk.get(id)?);
    let (events, attempts) = desk.pending(id);
    let ledger = attempts.iter().map(Into::into).collect();
    Some((incident, Past { ledger, trail: events.iter().map(TrailView::pending).collect() }))
}

fn past(lane: &Lane, id: IncidentId) -> Result<Past, Unreadable> {
    let (ledger, trail) = from_store(lane, |store| Ok((store.ledger(id)?, store.trail_of(id)?)))?;
    let ledger = ledger.iter().map(Into::into).collect();
    Ok(Past { ledger, trail: trail.iter().map(Into::into).collect() })
}

fn show(lane: &Lane, desk: &Desk, incident: &Incident) -> IncidentView {
    IncidentView::new(incident, desk, &lane.rules, Moment::now(&*lane.clock))
}

/// Returns up to `limit` entries behind number `after`; `None` when the store cannot be read.
pub(crate) fn trail(lane: &Lane, after: u64, limit: usize) -> Option<TrailPage> {
    let (Ends { base, head }, entries) = from_store(lane, |store| store.trail(after, limit)).ok()?;
    // A reader of the beginning has to know what came before it, once the oldest entries are gone.
    let base = (base.seq > 0 && after <= base.seq).then(|| base.to_string());
    let entries = entries.iter().map(Into::into).collect();
    Some(TrailPage { base, head: head.to_string(), entries })
}

/// Returns the incidents that a query asks for.
pub(crate) fn find(lane: &Lane, query: &IncidentQuery) -> Page {
    let limit = query.limit.clamp(1, PAGE_MAX);
    let mut found = find_at_desk(lane, query, limit);
    let Searched { floor, complete } = search_store(lane, query, limit, &mut found);
    // Below the floor there may be incidents that were not looked at, so what was found there has to wait. Without a floor
    // everything counts: `None` is below every id.
    let above_floor = found.into_values().rev().filter(|incident| Some(incident.id) >= floor);
    let mut incidents: Vec<_> = above_floor.collect();
    let next = if incidents.len() > limit {
        incidents.truncate(limit);
        incidents.last().map(|last| last.id)
    } else {
        floor
    };
    Page { incidents: show_newest(lane, query, &incidents), next, complete }
}

/// Returns the views of incidents. One that has changed since it was found is shown as it is now, if it still matches.
fn show_newest(lane: &Lane, query: &IncidentQuery, found: &[Incident]) -> Vec<IncidentView> {
    let desk = lane.desk.lock();
    let newest = found.iter().map(|incident| desk.get(incident.id).unwrap_or(incident));
    let matching = newest.filter(|incident| query.filter.matches(incident));
    matching.map(|incident| show(lane, &desk, incident)).collect()
}

fn find_at_desk(lane: &Lane, query: &IncidentQuery, limit: usize) -> BTreeMap<IncidentId, Incident> {
    let desk = lane.desk.lock();
    let matching = desk.newest_first(query.after).filter(|incident| query.filter.matches(incident));
    // One more than asked for tells that there is a next page.
    matching.take(limit + 1).map(|incident| (incident.id, incident.clone())).collect()
}

/// Result of a search of the store.
struct Searched {
    /// Last incident that was looked at, if there is more behind it.
    floor: Option<IncidentId>,
    /// The store could be read.
    complete: bool,
}

/// Adds what the store has to `found`.
fn search_store(
    lane: &Lane,
    query: &IncidentQuery,
    limit: usize,
    found: &mut BTreeMap<IncidentId, Incident>,
) -> Searched {
    let Some(store) = lane.shelf.store() else { return Searched { floor: None, complete: false } };
    if query.filter.state.is_some_and(|state| state != State::Resolved) {
        return Searched { floor: None, complete: true }; // All that is not resolved is at the desk.
    }
    let mut looked_at = 0;
    let mut matching = 0;
    let mut floor = None;
    let read = store.newest_first(query.after, |incident| {
        looked_at += 1;
        let id = incident.id;
        let newest = lane.desk.lock().get(id).cloned().unwrap_or(incident);
        if query.filter.matches(&newest) {
            matching += 1;
            found.insert(id, newest);
        }
        let enough = looked_at >= LOOKED_AT_MAX;
        floor = enough.then_some(id);
        !enough && matching <= limit
    });
    if let Err(err) = &read {
        lane.store_failed(err);
    }
    Searched { floor, complete: read.is_ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::attempt::Outcome;
    use crate::trail::{Event, EventKind, SubjectId};

    fn attempt(number: u32) -> LedgerView {
        let outcome = Outcome::Accepted { status: 200 };
        let target = "primary".into();
        let at = String::new();
        LedgerView { number, target, kind: "opened", at, took_ms: 1, outcome, next_at: None }
    }

    fn change(action: &'static str, seq: u64) -> TrailView {
        let hash = (seq > 0).then(String::new);
        let event = Event {
            at_ms: 0,
            subject: SubjectId::Incident(IncidentId::from_u128(1)),
            action: EventKind::Opened,
            by: "vagn".into(),
            reason: "".into(),
        };
        TrailView { seq, action, hash, ..TrailView::pending(&event) }
    }

    #[test]
    fn what_is_written_while_it_is_read_is_told_once() {
        let mut past = Past {
            ledger: vec![attempt(1), attempt(2)],
            trail: vec![change("opened", 1), change("quiet", 2)],
        };
        past.extend(Past {
            ledger: vec![attempt(2), attempt(3)],
            trail: vec![change("quiet", 0), change("heard", 0)],
        });
        let numbers: Vec<_> = past.ledger.iter().map(|attempt| attempt.number).collect();
        let told: Vec<_> = past.trail.iter().map(|change| (change.action, change.seq)).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(told, [("opened", 1), ("quiet", 2), ("heard", 0)]);
    }
}
