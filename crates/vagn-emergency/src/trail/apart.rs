//! Two trails that grew apart, or of which one is behind: what the one has and the other does not.

use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::Event;
use super::read::{TrailReader, ends};
use super::table::{BASE, ENDS, TRAIL, read_end};

/// Returns the events of the trail that was there `before` and that the one that is written `now` does not have, oldest first. What the new one has let go
/// of counts as there.
pub(crate) fn not_in(before: &ReadTransaction, now: &WriteTransaction) -> Result<Vec<Event>, redb::Error> {
    let Some(reader) = TrailReader::open(before)? else { return Ok(Vec::new()) };
    let old = ends(before)?;
    let new_base = read_end(&now.open_table(ENDS)?, BASE)?;
    let trail = now.open_table(TRAIL)?;
    let is_same = |seq: u64| -> Result<bool, redb::Error> {
        let (had, has) = (reader.trail.get(seq)?, trail.get(seq)?);
        Ok(had.zip(has).is_some_and(|(had, has)| had.value() == has.value()))
    };
    // Each hash covers all entries before it: up to an entry that both have they are one trail.
    let (mut first, mut end) = (old.base.seq.max(new_base.seq) + 1, old.head.seq + 1);
    while first < end {
        let middle = first + (end - first) / 2;
        if is_same(middle)? { first = middle + 1 } else { end = middle }
    }
    let mut events = Vec::new();
    for row in reader.trail.range(first..)? {
        let Some(entry) = reader.entry(row?.1.value())? else { continue };
        let Some(meaning) = entry.meaning else { continue };
        let (at_ms, action) = (entry.at_ms, entry.action);
        events.push(Event { at_ms, subject: meaning.id, action, by: entry.by, reason: entry.reason });
    }
    Ok(events)
}
