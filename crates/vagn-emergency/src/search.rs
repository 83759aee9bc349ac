//! How incidents are found: what is at the desk is newer than what the store has.
//!
//! Recording goes on meanwhile, and takes what is over from the desk to the store. So the desk is read first and the store
//! after it: what leaves the one in between is found in the other.

use std::collections::BTreeMap;

use vagn_otp::CallError;

use crate::desk::Desk;
use crate::id::IncidentId;
use crate::lane::Lane;
use crate::reader::Find;
use crate::record::incident::Incident;
use crate::record::progress::State;
use crate::record::store::{Store, StoreError};
use crate::show::view::{Detail, IncidentView, LedgerView, PAGE_MAX, Page, TrailPage, TrailView};
use crate::trail::Ends;

/// Records that one search looks at: half a second, for which other questions have to wait.
const LOOKED_AT_MAX: usize = 5_000;

/// The store cannot be read, so nobody can say whether it has the incident, or what happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

impl From<Unreadable> for CallError {
    fn from(Unreadable: Unreadable) -> Self {
        Self::Down
    }
}

/// The incident `id`, wherever it is.
pub(crate) fn record(lane: &Lane, id: IncidentId) -> Result<Option<Incident>, Unreadable> {
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

/// The incident `id` with all that happened to it.
pub(crate) fn look_up(lane: &Lane, id: IncidentId) -> Result<Option<Detail>, Unreadable> {
    if let Some((incident, pending)) = at_desk(lane, id) {
        // It goes on, so how it stands counts even while its past cannot be read.
        let mut past = past(lane, id).unwrap_or_default();
        past.extend(pending);
        return Ok(Some(past.of(incident)));
    }
    let Some(incident) = stored(lane, id)? else { return Ok(None) };
    let past = past(lane, id)?;
    Ok(Some(past.of(show(lane, &lane.desk.lock(), &incident))))
}

/// What happened to an incident.
#[derive(Default)]
struct Past {
    ledger: Vec<LedgerView>,
    trail: Vec<TrailView>,
}

impl Past {
    fn of(self, incident: IncidentView) -> Detail {
        Detail { incident, ledger: self.ledger, trail: self.trail }
    }

    /// Adds what waited to be written, but for what has been written since.
    fn extend(&mut self, pending: Self) {
        let Self { ledger, trail } = pending;
        let is_new = |one: &LedgerView| self.ledger.iter().all(|written| written.number != one.number);
        let ledger: Vec<_> = ledger.into_iter().filter(is_new).collect();
        let is_new = |one: &TrailView| !self.trail.iter().any(|written| written.tells_the_same(one));
        let trail: Vec<_> = trail.into_iter().filter(is_new).collect();
        self.ledger.extend(ledger);
        self.trail.extend(trail);
    }
}

/// The incident `id` as it stands at the desk, with what waits to be written.
fn at_desk(lane: &Lane, id: IncidentId) -> Option<(IncidentView, Past)> {
    let desk = lane.desk.lock();
    let incident = show(lane, &desk, desk.get(id)?);
    let (notes, attempts) = desk.pending(id);
    let ledger = attempts.iter().map(Into::into).collect();
    Some((incident, Past { ledger, trail: notes.iter().map(TrailView::pending).collect() }))
}

fn past(lane: &Lane, id: IncidentId) -> Result<Past, Unreadable> {
    let (ledger, trail) = from_store(lane, |store| Ok((store.ledger(id)?, store.trail_of(id)?)))?;
    let ledger = ledger.iter().map(Into::into).collect();
    Ok(Past { ledger, trail: trail.iter().map(Into::into).collect() })
}

fn show(lane: &Lane, desk: &Desk, incident: &Incident) -> IncidentView {
    IncidentView::new(incident, desk, &lane.rules, lane.moment())
}

/// Up to `limit` changes behind number `after`; `None` when the store cannot be read.
pub(crate) fn trail(lane: &Lane, after: u64, limit: usize) -> Option<TrailPage> {
    let (Ends { base, head }, entries) = from_store(lane, |store| store.trail(after, limit)).ok()?;
    // Who asks for the beginning has to know what came before it, once the oldest entries are gone.
    let base = (base.seq > 0 && after <= base.seq).then(|| base.to_string());
    let entries = entries.iter().map(Into::into).collect();
    Some(TrailPage { base, head: head.to_string(), entries })
}

/// The incidents that are asked for, newest first.
pub(crate) fn find(lane: &Lane, ask: &Find) -> Page {
    let limit = ask.limit.clamp(1, PAGE_MAX);
    let mut found = find_at_desk(lane, ask, limit);
    let (floor, complete) = search_store(lane, ask, limit, &mut found);
    let mut incidents: Vec<_> =
        found.into_values().rev().filter(|incident| Some(incident.id) >= floor).collect();
    let more = incidents.len() > limit;
    incidents.truncate(limit);
    let next = if more { incidents.last().map(|last| last.id) } else { floor };
    let desk = lane.desk.lock();
    // It may have changed meanwhile.
    let newest = incidents.iter().map(|incident| desk.get(incident.id).unwrap_or(incident));
    let lets = newest.filter(|incident| ask.filter.lets(incident));
    let incidents = lets.map(|incident| show(lane, &desk, incident)).collect();
    Page { incidents, next, complete }
}

fn find_at_desk(lane: &Lane, ask: &Find, limit: usize) -> BTreeMap<IncidentId, Incident> {
    let desk = lane.desk.lock();
    let lets = desk.newest_first(ask.after).filter(|incident| ask.filter.lets(incident));
    lets.take(limit + 1).map(|incident| (incident.id, incident.clone())).collect()
}

/// Adds what the store has. Gives how far it has looked, if there is more behind, and whether the store could be read.
fn search_store(
    lane: &Lane,
    ask: &Find,
    limit: usize,
    found: &mut BTreeMap<IncidentId, Incident>,
) -> (Option<IncidentId>, bool) {
    let Some(store) = lane.shelf.store() else { return (None, false) };
    if ask.filter.state.is_some_and(|state| state != State::Resolved) {
        return (None, true); // All that is not resolved is at the desk.
    }
    let (mut looked_at, mut in_store, mut floor) = (0, 0, None);
    let read = store.newest_first(ask.after, |incident| {
        looked_at += 1;
        let id = incident.id;
        let newest = lane.desk.lock().get(id).cloned().unwrap_or(incident);
        if ask.filter.lets(&newest) {
            in_store += 1;
            found.insert(id, newest);
        }
        let enough = looked_at >= LOOKED_AT_MAX;
        floor = enough.then_some(id);
        !enough && in_store <= limit
    });
    if let Err(err) = &read {
        lane.store_failed(err);
    }
    (floor, read.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::attempt::Outcome;
    use crate::trail::{Event, EventKind, SubjectId};

    fn attempt(number: u32) -> LedgerView {
        let outcome = Outcome::Accepted { status: 200 };
        let (target, at) = ("primary".into(), String::new());
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
