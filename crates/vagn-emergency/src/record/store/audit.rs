//! Audit: compares a store with its journal, or reads the journal of one that cannot be opened, and writes to neither.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::mark;
use crate::record::incident::Incident;
use crate::record::journal::{FILES, JournalContent};
use crate::trail::{ClosedStore, Head};

/// Result of the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalCheck {
    /// The store has never had a journal.
    Without,
    /// The journal cannot tell.
    Silent {
        /// Reason.
        why: String,
    },
    /// The store has all that was confirmed.
    Agrees,
    /// The store has rolled back.
    Ahead {
        /// Number of confirmed saves that the store does not have.
        saves: u64,
        /// Head of the trail after the last of them, if it can be read.
        head: Option<Head>,
    },
}

/// Compares a store of which no service has the files open with the journal in `data_dir`.
///
/// # Errors
/// When the store cannot be read.
pub fn compare_with_journal(store: &ClosedStore, data_dir: &Path) -> Result<JournalCheck, redb::Error> {
    let silent = |why: String| Ok(JournalCheck::Silent { why });
    let Some(mark) = mark::read(&store.begin_read()?)? else {
        return Ok(JournalCheck::Without);
    };
    let mut content = match read(data_dir) {
        Ok(content) => content,
        Err(err) => return silent(format!("the journal cannot be read: {err}")),
    };
    if content.id() != Some(mark.id) {
        return silent("the journal of the store is missing or damaged".into());
    }
    if content.confirmed <= mark.last {
        return Ok(JournalCheck::Agrees);
    }
    let (saves, confirmed) = (content.confirmed - mark.last, content.confirmed);
    let missing = content.behind(mark.last);
    let last = missing.iter().find(|entry| entry.number == confirmed);
    Ok(JournalCheck::Ahead { saves, head: last.map(|entry| entry.after) })
}

/// Returns the incidents that are live by the journal alone, oldest first: their calls are owed although the store cannot
/// be opened.
pub fn live_in_journal(data_dir: &Path) -> Vec<Incident> {
    let Ok(mut content) = read(data_dir) else { return Vec::new() };
    let drafts = content.behind(0).into_iter().flat_map(|entry| entry.drafts);
    // The latest draft of an incident is the one that counts.
    let latest: BTreeMap<_, _> = drafts.map(|draft| (draft.incident.id, draft.incident)).collect();
    latest.into_values().filter(|incident| !incident.is_resolved()).collect()
}

pub(super) fn read(data_dir: &Path) -> io::Result<JournalContent> {
    let read = |name: &str| match std::fs::read(data_dir.join(name)) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    };
    Ok(JournalContent::of([read(FILES[0])?, read(FILES[1])?]))
}
