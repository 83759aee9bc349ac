//! Before: what a single machine has left in a data directory that has become that of a node. Its files are read, and stay as they are: the machine
//! can go back to them, and their trail can be verified.
//!
//! What is open there goes into the rest of the node's own store, as what a replaced store knew does, and is handed to the desk of the leader.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable};
use sha2::{Digest, Sha256};
use tracing::{error, warn};

use super::copy::COPIED;
use super::mark::{self, StoreMark};
use super::pieces::RestTables;
use super::query::TRAIL_READ;
use super::recall::misfit;
use super::schema::{INCIDENTS, LIVE};
use super::{FILE, Store, StoreError, audit, groups, has_nothing, live_in_journal};
use crate::id::IncidentId;
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::record::journal::JournalContent;
use crate::record::stored;
use crate::trail::{self, ClosedStore, Event, SubjectId};

/// Message numbers that are left out: a machine whose disk was broken may have sent messages of which it has no record.
const SKIPPED: u64 = 1 << 20;

/// What a single machine has left.
#[derive(Debug)]
pub(crate) struct Before {
    /// Incidents that are not resolved, oldest first, each with its trail.
    pub(crate) open: Vec<Draft>,
    /// What could not be read, and what helps.
    pub(crate) fault: Option<String>,
    /// All that there is was read: nothing would be found by reading it again.
    is_whole: bool,
    /// Stamp of the files.
    stamp: u128,
}

impl Before {
    /// Reads what is left in `data_dir`; `None` if nothing is, or its files are still those of this stamp.
    pub(crate) fn read(data_dir: &Path, taken_over: Option<u128>) -> Option<Self> {
        let stamp = stamp_of(data_dir);
        if has_nothing(data_dir) || taken_over == Some(stamp) {
            return None;
        }
        let path = data_dir.join(FILE);
        let journal = audit::read(data_dir);
        if fs::symlink_metadata(&path).is_err() && journal.as_ref().is_ok_and(|journal| journal.is_blank) {
            return None;
        }
        let read = catch_unwind(AssertUnwindSafe(|| read_open(&path, journal)));
        let found = read
            .unwrap_or_else(|_| Err("it cannot be read: it made its reader panic".into()))
            .unwrap_or_else(|why| {
                let open: Vec<_> = live_in_journal(data_dir).into_iter().map(Draft::of_record).collect();
                let count = open.len();
                Found {
                    open,
                    fault: Some(format!("{why}; its journal has {count} open incidents, which go on")),
                    is_whole: false,
                }
            });
        let Found { mut open, fault, is_whole } = found;
        for draft in &mut open {
            let latest = &mut draft.incident.notices.follow_ups;
            *latest = latest.saturating_add(SKIPPED);
        }
        let fault = fault.map(|fault| {
            let path = path.display();
            format!(
                "{path}: {fault}; nobody is called about what else is open in it: restore the file from a backup, or stop the service and run \
                 `vagn repair`; then start it again; or move the file away if nothing in it is open"
            )
        });
        Some(Self { open, fault, is_whole, stamp })
    }
}

/// What was found in the files.
struct Found {
    open: Vec<Draft>,
    fault: Option<String>,
    is_whole: bool,
}

/// Reads what is open in the store at `path`, with the newer word of its journal on it.
fn read_open(path: &Path, journal: std::io::Result<JournalContent>) -> Result<Found, String> {
    let closed = ClosedStore::open(path).map_err(|err| err.to_string())?;
    let text = |err: redb::Error| format!("it cannot be read: {err}");
    let txn = closed.begin_read().map_err(text)?;
    if let Some(found) = mark::format_in(&txn).map_err(text)?.filter(|found| *found != mark::FORMAT) {
        return Err(StoreError::Newer { found }.to_string());
    }
    let mark = mark::read(&txn).map_err(text)?.unwrap_or(StoreMark { id: 0, last: 0 });
    let (mut live, unreadable) = read_live(&txn).map_err(text)?;
    let mut faults = Vec::new();
    if unreadable > 0 {
        faults.push(format!("{unreadable} records of open incidents cannot be read; the log names them"));
    }
    let mut newer: BTreeMap<IncidentId, Vec<Event>> = BTreeMap::new();
    match journal {
        Err(err) => faults.push(format!("its journal cannot be read: {err}")),
        Ok(mut journal) if misfit(&journal, mark).is_none() => {
            for draft in journal.behind(mark.last).into_iter().flat_map(|entry| entry.drafts) {
                newer.entry(draft.incident.id).or_default().extend(draft.events);
                live.insert(draft.incident.id, draft.incident);
            }
            if !journal.faults.is_empty() {
                warn!(faults = journal.faults.join("; "), "the journal of a single machine has faults");
            }
        }
        Ok(journal) => {
            warn!(why = misfit(&journal, mark), "the journal of a single machine does not fit its store")
        }
    }
    let mut open = Vec::new();
    for incident in live.into_values().filter(|incident| !incident.is_resolved()) {
        let id = incident.id;
        let mut events = events_of(&txn, id).map_err(text)?;
        events.extend(newer.remove(&id).unwrap_or_default());
        open.push(Draft { events, ..Draft::of_record(incident) });
    }
    Ok(Found { open, is_whole: faults.is_empty(), fault: (!faults.is_empty()).then(|| faults.join("; ")) })
}

/// Returns what is live, and how many records make no sense.
fn read_live(txn: &ReadTransaction) -> Result<(BTreeMap<IncidentId, Incident>, usize), redb::Error> {
    let (mut live, mut unreadable) = (BTreeMap::new(), 0);
    let all = txn.open_table(INCIDENTS)?;
    for row in txn.open_table(LIVE)?.iter()? {
        let id = row?.0.value();
        let Some(record) = all.get(id)? else { continue };
        match stored::from_bytes(record.value()) {
            Ok(incident) => drop(live.insert(incident.id, incident)),
            Err(err) => {
                unreadable += 1;
                error!(incident_id = %IncidentId::from_u128(id), error = %err, "incident record of a single machine cannot be read");
            }
        }
    }
    Ok((live, unreadable))
}

fn events_of(txn: &ReadTransaction, id: IncidentId) -> Result<Vec<Event>, redb::Error> {
    let subject = SubjectId::Incident(id);
    let entries = trail::of(txn, subject, TRAIL_READ)?.into_iter();
    let event = |entry: trail::Entry| Event {
        at_ms: entry.at_ms,
        subject,
        action: entry.action,
        by: entry.by,
        reason: entry.reason,
    };
    Ok(entries.map(event).collect())
}

/// Returns a number that is another one when the files of a store and its journal have changed.
fn stamp_of(data_dir: &Path) -> u128 {
    let mut hash = Sha256::new();
    for name in COPIED {
        let file = fs::metadata(data_dir.join(name)).ok();
        let (len, at_s, at_ns) =
            file.map_or((u64::MAX, 0, 0), |file| (file.len(), file.mtime(), file.mtime_nsec()));
        hash.update(len.to_be_bytes());
        hash.update(at_s.to_be_bytes());
        hash.update(at_ns.to_be_bytes());
    }
    let hash: [u8; 32] = hash.finalize().into();
    let (half, _) = hash.split_first_chunk().expect("a SHA-256 has 32 bytes");
    u128::from_be_bytes(*half)
}

impl Store {
    /// Returns the stamp of the files that were taken over.
    pub(crate) fn taken_over(&self) -> Result<Option<u128>, StoreError> {
        let txn = self.db.begin_read().map_err(|err| StoreError::Failed(err.into()))?;
        mark::taken_over(&txn).map_err(StoreError::Failed)
    }

    /// Puts what a single machine has left open into the rest, with the note that it was: all or nothing, and on disk when it returns. Of what this
    /// store knows already, only what is not over goes in, with what its trail does not have.
    pub(crate) fn take_over(&self, before: &Before) -> Result<(), StoreError> {
        let _journal = self.journal.try_lock().ok_or(StoreError::Busy)?;
        let own = self.db.begin_read().map_err(|err| StoreError::Failed(err.into()))?;
        let txn = self.begin()?;
        let put = || -> Result<(), redb::Error> {
            let (has, alarms) = (txn.open_table(INCIDENTS)?, groups::open_alarms(&txn)?);
            let mut rest = RestTables::open(&txn)?;
            for draft in &before.open {
                let id = draft.incident.id.as_u128();
                let now = has.get(id)?.and_then(|record| self.read(id, record.value()));
                match now {
                    Some(now) if now.is_resolved() => {}
                    Some(_) => {
                        let has = events_of(&own, draft.incident.id)?;
                        let lacks = draft.events.iter().filter(|event| !has.contains(event));
                        let events = lacks.cloned().collect();
                        rest.put(&Draft { events, ..Draft::of_record(draft.incident.clone()) }, None)?;
                    }
                    // It was over, and has gone.
                    None if alarms.get(id)?.is_some() => {}
                    None => rest.put(draft, None)?,
                }
            }
            if before.is_whole {
                mark::set_taken_over(&txn, before.stamp)?;
            }
            Ok(())
        };
        put().map_err(StoreError::Failed)?;
        txn.commit().map_err(|err| StoreError::Failed(err.into()))
    }
}
