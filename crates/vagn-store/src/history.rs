//! The log as history: every position of every vehicle, as far back as the log is kept.
//!
//! A record names a slot only. The vehicle of a slot is told by the definition before the record, else by the removal
//! after it, else by the vehicle that has the slot now; so history needs no old snapshots.

use crate::error::StoreError;
use crate::index::Marks;
use crate::log::reader::{LogReader, Unit};
use crate::log::record::Record;
use crate::log::segment::Segment;
use crate::manifest::partition::NamedSegment;
use crate::partition::table::SlotTable;
use crate::{Key, Sighting, VehicleIdBuf};
use std::collections::HashMap;

/// An event in the life of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Event<'a> {
    /// A report of it was written, stored or late; with the hash of its id.
    Written(Key<'a>, u64, Sighting, Marks),
    /// It was deleted or forgotten.
    Removed(Key<'a>),
}

/// Calls `visit` for every event in the log, in order. `now` is the state in which the log ends, and `named` are the segments
/// that the manifest names.
///
/// # Errors
/// [`StoreError::Corrupt`] when one of those is not whole.
pub(crate) fn read(
    log: &LogReader<'_>,
    now: &SlotTable,
    named: &[NamedSegment],
    visit: &mut dyn FnMut(Event<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let segments = unbroken(log, Segment::list(log.disk, log.dir)?, named)?;
    let mut owners = first_owners(log, &segments, now)?;
    each(log, &segments, &mut |record| match record {
        Record::Position { slot, hash, sighting, marks, .. } => match owners.get(&slot) {
            // The hash keeps a position from another vehicle where the definition of its own was lost.
            Some((id, owner)) if *owner == hash => visit(Event::Written(id.key(), hash, sighting, marks)),
            _ => Ok(()),
        },
        Record::Define { slot, key, .. } => {
            owners.insert(slot, (VehicleIdBuf::of(key), key.hash()));
            Ok(())
        }
        Record::Remove { slot, key, .. } => {
            owners.remove(&slot);
            visit(Event::Removed(key))
        }
        // Counts are no history; how they stand at the end is told by `now`.
        Record::Count { .. } | Record::Synced { .. } | Record::Void => Ok(()),
    })
}

type Owners = HashMap<u32, (VehicleIdBuf, u64)>;

/// Returns the vehicle in each slot at the beginning of the first segment.
fn first_owners(log: &LogReader<'_>, segments: &[Segment], now: &SlotTable) -> Result<Owners, StoreError> {
    let mut owners: HashMap<u32, Option<VehicleIdBuf>> = HashMap::new();
    each(log, segments, &mut |record| {
        match record {
            Record::Define { slot, .. } => {
                // The first record about a slot decides: a definition says that the slot had no known vehicle before.
                owners.entry(slot).or_insert(None);
            }
            Record::Remove { slot, key, .. } => {
                owners.entry(slot).or_insert_with(|| Some(VehicleIdBuf::of(key)));
            }
            _ => {}
        }
        Ok(())
    })?;
    for held in now.vehicles() {
        owners.entry(held.slot).or_insert_with(|| Some(VehicleIdBuf::of(held.key)));
    }
    let known = owners.into_iter().filter_map(|(slot, id)| Some((slot, id?)));
    Ok(known.map(|(slot, id)| (slot, (id, id.key().hash()))).collect())
}

/// Returns the segments that follow each other up to the last one. Before them may stand some whose removal a crash undid: such
/// a one has left the manifest.
fn unbroken(
    log: &LogReader<'_>,
    segments: Vec<Segment>,
    named: &[NamedSegment],
) -> Result<Vec<Segment>, StoreError> {
    let mut first = segments.len().saturating_sub(1);
    // A file is removed without a sync, so that a power cut may bring it back; those between it and the rest stay gone.
    while first > 0 && log.end_of(&segments[first - 1])? == segments[first].start.record {
        first -= 1;
    }
    let is_named = |segment: &Segment| named.iter().any(|named| named.start == segment.start);
    if let Some(short) = segments[..first].iter().rfind(|segment| is_named(segment)) {
        let size = short.offset(log.end_of(short)?);
        return Err(StoreError::corrupt(&short.path, size, "it does not end where the next segment begins"));
    }
    Ok(segments[first..].to_vec())
}

fn each(
    log: &LogReader<'_>,
    segments: &[Segment],
    visit: &mut dyn FnMut(Record<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut done = Ok(());
    for segment in segments {
        log.scan(segment, &mut |_, unit| {
            done = match unit {
                Unit::Header(_) => Ok(()),
                Unit::Record(record) => visit(record),
                Unit::Bad(bad) => Err(bad.corrupt()),
            };
            done.is_ok()
        })?;
        std::mem::replace(&mut done, Ok(()))?;
    }
    Ok(())
}
