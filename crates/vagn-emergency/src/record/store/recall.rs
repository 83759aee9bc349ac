//! Recall: compares the store with its journal, and makes again what the store does not have.
//!
//! A save is written to the journal before it is committed to the store, and is answered when it is safe in both. So a
//! journal that is ahead by a save that it does not know as confirmed tells of an end in the middle of a save. One that is
//! ahead by a confirmed save tells of a store that has rolled back.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use parking_lot::Mutex;
use redb::WriteTransaction;

use super::keeper::LatestSave;
use super::mark::StoreMark;
use super::{Keeper, Store, StoreError};
use crate::id::IncidentId;
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::record::journal::{self, Journal, JournalContent, JournalEntry, JournalFile};
use crate::record::progress::MACHINE;
use crate::trail::{Event, EventKind, SubjectId};

/// Reason on the trail of an incident that was restored.
const RESTORED: &str = "the store had lost what was recorded of it; the journal had it";

/// Saves of the journal that count at an opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recall {
    /// All, after a start: what was not finished is finished.
    All,
    /// Those that were confirmed. The store was open before in this run, and the desk has what was not finished.
    Confirmed,
    /// All, and a store that is missing is made of them.
    Rebuild,
}

/// Findings of an opening in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recalled {
    /// Number of confirmed saves that the store had lost, and has again.
    pub restored: u64,
    /// Number of saves that the store had lost, and the journal does not have any more.
    pub lost: u64,
    /// Number of saves that were not finished, and are now.
    pub finished: u64,
    /// Incidents in the saves that were restored.
    pub incidents: BTreeSet<IncidentId>,
    /// True when the trail does not have the heads any more that it had after these saves.
    pub is_another_trail: bool,
    /// Fault of the journal, which was begun anew for it.
    pub journal: Option<String>,
}

impl Recalled {
    /// Returns the warning about a store that had rolled back, if it had.
    pub fn warning(&self) -> Option<String> {
        let mut texts = Vec::new();
        if self.restored > 0 {
            let (saves, incidents) = (self.restored, self.incidents.len());
            texts.push(format!(
                "the store had lost its last saves; {saves} of them, of {incidents} incidents, were restored from the journal"
            ));
        }
        if self.lost > 0 && self.restored > 0 {
            let lost = self.lost;
            texts.push(format!("{lost} saves before these are lost: the journal does not reach back so far"));
        } else if self.lost > 0 {
            let lost = self.lost;
            texts.push(format!(
                "the store has lost {lost} saves, and the journal does not have them any more; compare the incidents with \
                 what the targets know of them"
            ));
        }
        if self.restored > 0 && self.is_another_trail {
            texts.push("the trail does not have all heads that notices have carried".into());
        }
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

/// Makes the saves again that `files` have and `store` does not. A journal that does not fit is begun anew, on the files that
/// `renew` returns for those that have something in them.
pub(super) fn recall(
    mut store: Store,
    files: [JournalFile; 2],
    recall: Recall,
    now_ms: i64,
    renew: impl FnOnce([JournalFile; 2]) -> Result<[JournalFile; 2], StoreError>,
) -> Result<Store, StoreError> {
    let mut content = JournalContent::read(&files).map_err(journal_failed)?;
    let mark = store.mark()?;
    let misfit = misfit(&content, mark);
    let again = if misfit.is_none() { store.make_again(&mut content, mark, recall, now_ms)? } else { None };
    let last = again.as_ref().map_or(mark.last, |again| again.last);
    // A save that could not be read was not made again, and the numbers do not go on from it.
    let goes_on = misfit.is_none() && content.faults.is_empty() && content.last() == last;
    let keeper = match Journal::go_on(files, &content) {
        Ok(journal) if goes_on => {
            let mut keeper = Keeper::of(journal);
            again.map_or(Ok(()), |again| again.commit_with(&mut keeper))?;
            keeper
        }
        found => {
            let latest = content.content_of(last).filter(|_| misfit.is_none());
            let latest = latest.map(|content| LatestSave { number: last, content });
            // Before the journal is begun anew: until then it is the only one that has these saves.
            let latest = again.map_or(Ok(None), Again::commit)?.or(latest);
            let files = match found {
                Err(files) if content.is_blank => files,
                Err(files) => renew(files)?,
                Ok(journal) => renew(journal.into_files())?,
            };
            begin(files, store.mark()?, latest)
        }
    };
    let faults: Vec<_> = misfit.into_iter().chain(content.faults).collect();
    store.recalled.journal = (!faults.is_empty()).then(|| faults.join("; "));
    store.give(keeper);
    Ok(store)
}

fn begin(files: [JournalFile; 2], mark: StoreMark, latest: Option<LatestSave>) -> Keeper {
    Keeper::begin(Journal::of(files, mark.id), mark.last + 1, latest)
}

/// Saves that were made again, and are still to be committed: all at once, with the note about them, so that an end in
/// between leaves no incident that was restored without a word.
struct Again {
    txn: WriteTransaction,
    /// Number of the last of these saves.
    last: u64,
    /// The save behind them, which notes on the trail what was restored, if anything was.
    note: Option<LatestSave>,
}

impl Again {
    /// Commits them to the store, with the note in the journal as well.
    fn commit_with(self, keeper: &mut Keeper) -> Result<(), StoreError> {
        let Some(note) = self.note else { return committed(self.txn.commit()) };
        let number = note.number;
        keeper.append(note);
        committed(keeper.commit(self.txn, number))
    }

    /// Commits them to the store. Returns the note.
    fn commit(self) -> Result<Option<LatestSave>, StoreError> {
        committed(self.txn.commit()).map(|()| self.note)
    }
}

fn committed(result: Result<(), redb::CommitError>) -> Result<(), StoreError> {
    result.map_err(|err| StoreError::Failed(err.into()))
}

/// Returns the reason for which a journal does not fit a store, if it does not.
pub(super) fn misfit(content: &JournalContent, store: StoreMark) -> Option<String> {
    let (ends, last) = (content.last(), store.last);
    match content.id() {
        None if content.is_blank && last == 0 => None,
        None if content.is_blank => {
            Some(format!("it is missing or empty, although the store has {last} saves"))
        }
        None => Some("neither of its files can be read".into()),
        Some(id) if id != store.id => Some("it belongs to another store".into()),
        Some(_) if ends < last => Some(format!("it ends with save {ends}, and the store with save {last}")),
        Some(_) => None,
    }
}

fn journal_failed(source: io::Error) -> StoreError {
    StoreError::Journal { path: journal::FILES[0].into(), source }
}

impl Store {
    /// Gives the store its journal.
    pub(super) fn give(&mut self, keeper: Keeper) {
        self.journal_fault = keeper.fault();
        self.journal = Mutex::new(keeper);
    }

    /// Makes the saves again that the store, with this `mark`, does not have.
    fn make_again(
        &mut self,
        content: &mut JournalContent,
        mark: StoreMark,
        recall: Recall,
        now_ms: i64,
    ) -> Result<Option<Again>, StoreError> {
        if recall == Recall::Confirmed {
            content.forget_behind(content.confirmed.max(mark.last));
        }
        let missing = content.behind(mark.last);
        // The journal may also have none of them, as it was begun anew since.
        let behind = content.last().saturating_sub(mark.last);
        let lost = behind.saturating_sub(missing.len() as u64);
        let mut recalled = Recalled { lost, ..Recalled::default() };
        let txn = self.begin()?;
        for entry in &missing {
            let head = self.write_again(&txn, entry)?;
            recalled.is_another_trail |= head != entry.after;
            if entry.number > content.confirmed && recall != Recall::Rebuild {
                recalled.finished += 1;
            } else {
                recalled.restored += 1;
                recalled.incidents.extend(entry.drafts.iter().map(|draft| draft.incident.id));
            }
        }
        let notes = notes(&recalled.incidents, &missing, now_ms);
        self.recalled = recalled;
        let Some(last) = missing.last().map(|entry| entry.number) else { return Ok(None) };
        let note = if notes.is_empty() { None } else { Some(self.write_new(&txn, &notes)?.0) };
        Ok(Some(Again { txn, last, note }))
    }
}

/// Returns drafts that note on the trail of each of these incidents that it was restored, as the last of the saves has it.
fn notes(incidents: &BTreeSet<IncidentId>, saves: &[JournalEntry], at_ms: i64) -> Vec<Draft> {
    let drafts = saves.iter().flat_map(|entry| &entry.drafts);
    let latest: BTreeMap<_, _> = drafts.map(|draft| (draft.incident.id, &draft.incident)).collect();
    let restored = latest.into_iter().filter(|(id, _)| incidents.contains(id));
    let note = |(id, incident): (IncidentId, &Incident)| Draft {
        incident: incident.clone(),
        version: 1,
        events: vec![Event {
            at_ms,
            subject: SubjectId::Incident(id),
            action: EventKind::Restored,
            by: MACHINE.into(),
            reason: RESTORED.into(),
        }],
        last_event: 1,
        attempts: Vec::new(),
        calls: Vec::new(),
    };
    restored.map(note).collect()
}
