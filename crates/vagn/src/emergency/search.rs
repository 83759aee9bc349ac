//! How incidents are found: what is at the desk is newer than what the store has.

use std::collections::BTreeMap;

use super::desk::Desk;
use super::id::IncidentId;
use super::incident::{Incident, State};
use super::incidents::Find;
use super::lane::Lane;
use super::store::StoreError;
use super::trail::Ends;
use super::view::{Detail, IncidentView, PAGE_MAX, Page, TrailPage, TrailView};

/// Records that one search looks at; it holds up recording for as long.
const LOOKED_AT_MAX: usize = 5_000;

/// The incident `id`, wherever it is.
pub(super) fn record(lane: &Lane, id: IncidentId) -> Option<Incident> {
    let at_desk = lane.desk.lock().get(id).cloned();
    at_desk.or_else(|| lane.shelf.store()?.get(id).inspect_err(|err| lane.store_failed(err)).ok()?)
}

/// The incident `id` with all that happened to it.
pub(super) fn look_up(lane: &Lane, id: IncidentId) -> Option<Detail> {
    let incident = record(lane, id)?;
    let (mut ledger, mut trail) = read(lane, id).unwrap_or_else(|err| {
        lane.store_failed(&err);
        Default::default()
    });
    let desk = lane.desk.lock();
    let (notes, attempts) = desk.pending(id);
    ledger.extend(attempts.iter().map(Into::into));
    trail.extend(notes.iter().map(TrailView::pending));
    Some(Detail { incident: show(lane, &desk, &incident), ledger, trail })
}

type Past = (Vec<super::view::LedgerView>, Vec<TrailView>);

fn read(lane: &Lane, id: IncidentId) -> Result<Past, StoreError> {
    let Some(store) = lane.shelf.store() else { return Ok(Default::default()) };
    let ledger = store.ledger(id)?.iter().map(Into::into).collect();
    Ok((ledger, store.trail_of(id)?.iter().map(Into::into).collect()))
}

fn show(lane: &Lane, desk: &Desk, incident: &Incident) -> IncidentView {
    // It may have changed meanwhile, if it is at the desk.
    let incident = desk.get(incident.id).unwrap_or(incident);
    IncidentView::new(incident, desk, &lane.rules, lane.moment())
}

/// Up to `limit` changes behind number `after`; `None` when the store cannot be read.
pub(super) fn trail(lane: &Lane, after: u64, limit: usize) -> Option<TrailPage> {
    let read = lane.shelf.store()?.trail(after, limit);
    let (Ends { base, head }, entries) = read.inspect_err(|err| lane.store_failed(err)).ok()?;
    // Who asks for the beginning has to know what came before it, once the oldest entries are gone.
    let base = (base.seq > 0 && after <= base.seq).then(|| base.to_string());
    let entries = entries.iter().map(Into::into).collect();
    Some(TrailPage { base, head: head.to_string(), entries })
}

/// The incidents that are asked for, newest first.
pub(super) fn find(lane: &Lane, ask: &Find) -> Page {
    let limit = ask.limit.clamp(1, PAGE_MAX);
    let mut found = BTreeMap::new();
    let (floor, complete) = search_store(lane, ask, limit, &mut found);
    let desk = lane.desk.lock();
    let at_desk = desk.newest_first(ask.after).filter(|incident| ask.filter.lets(incident));
    found.extend(at_desk.take(limit + 1).map(|incident| (incident.id, incident.clone())));
    let mut incidents: Vec<_> =
        found.into_values().rev().filter(|incident| Some(incident.id) >= floor).collect();
    let more = incidents.len() > limit;
    incidents.truncate(limit);
    let next = if more { incidents.last().map(|last| last.id) } else { floor };
    let incidents = incidents.iter().map(|incident| show(lane, &desk, incident)).collect();
    Page { incidents, next, complete }
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
    let (mut looked_at, mut floor) = (0, None);
    let read = store.newest_first(ask.after, |incident| {
        looked_at += 1;
        let id = incident.id;
        if ask.filter.lets(&incident) && lane.desk.lock().get(id).is_none() {
            found.insert(id, incident);
        }
        let enough = looked_at >= LOOKED_AT_MAX;
        floor = enough.then_some(id);
        !enough && found.len() <= limit
    });
    if let Err(err) = &read {
        lane.store_failed(err);
    }
    (floor, read.is_ok())
}
