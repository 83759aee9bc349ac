//! Entries of the trail, and their byte form:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 | 17 claim, 18 renewal, 19 group, 24 farewell |
//! | 4 | epoch |
//! | 8, 8, 8 | name: node, run, number |
//! | 8 | term |
//! | … | claim, renewal and farewell: hash of settings, a sequence and the running hash there; group: alarms, deeds, content |
//! | 8 | hash of all before |
//!
//! Alarms and deeds of a group are counted in 32 bits and have 16 bytes each, alarms 8 more for the version; the content has its length in 32 bits before it.

use crate::bytes::{Reader, Write, seal};
use crate::ids::NodeId;
use crate::state::Damaged;
use crate::trail::ids::{AlarmId, AlarmVersion, DeedId, EntryId, Term};

/// Longest content of a group, in bytes.
pub const GROUP_MAX: usize = 256 << 10;

/// Most alarms, and most deeds, that one group records.
pub const NAMES_MAX: usize = 1_024;

const VERSION: u8 = 1;
const CLAIM: u8 = 17;
const RENEWAL: u8 = 18;
const GROUP: u8 = 19;
const FAREWELL: u8 = 24;

/// Length of a name.
const NAME_LEN: usize = 16;

/// Length of the name of an alarm with its version.
const VERSION_LEN: usize = NAME_LEN + 8;

/// An entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailEntry<'a> {
    /// Epoch of the trail for which it was written.
    pub epoch: u32,
    /// Its name.
    pub id: EntryId,
    /// Term of its writer; of a claim, the one that it begins.
    pub term: Term,
    /// Its content.
    pub body: TrailBody<'a>,
}

/// Content of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrailBody<'a> {
    /// The writer leads from here on.
    Claim {
        /// Hash of the settings that must be equal.
        settings_hash: u64,
        /// Last entry that the writer had read.
        sequence: u64,
        /// Running hash of all entries up to it.
        running_hash: u64,
    },
    /// The writer goes on leading.
    Renewal {
        /// As in a claim.
        settings_hash: u64,
        /// As in a claim.
        sequence: u64,
        /// As in a claim.
        running_hash: u64,
    },
    /// The writer leads no more: it stops, as it was told to. The last entry of its term.
    Farewell {
        /// As in a claim.
        settings_hash: u64,
        /// As in a claim.
        sequence: u64,
        /// As in a claim.
        running_hash: u64,
    },
    /// A group of drafts.
    Group {
        /// Alarms that are recorded with it.
        alarms: Vec<AlarmVersion>,
        /// Deeds that are recorded with it.
        deeds: Vec<DeedId>,
        /// For [`DeskState`](crate::trail::DeskState) alone to read, at most [`GROUP_MAX`] bytes.
        content: &'a [u8],
    },
}

impl<'a> TrailEntry<'a> {
    /// Reads an entry: all of it but the content of a group.
    ///
    /// # Errors
    /// [`Damaged`] when it is none.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::unseal(bytes)?;
        if reader.u8()? != VERSION {
            return Err(Damaged);
        }
        let kind = reader.u8()?;
        let epoch = reader.u32()?;
        let id = EntryId { node: NodeId(reader.u64()?), run: reader.u64()?, number: reader.u64()? };
        let term = Term(reader.u64()?);
        let body = match kind {
            CLAIM => TrailBody::Claim {
                settings_hash: reader.u64()?,
                sequence: reader.u64()?,
                running_hash: reader.u64()?,
            },
            RENEWAL => TrailBody::Renewal {
                settings_hash: reader.u64()?,
                sequence: reader.u64()?,
                running_hash: reader.u64()?,
            },
            FAREWELL => TrailBody::Farewell {
                settings_hash: reader.u64()?,
                sequence: reader.u64()?,
                running_hash: reader.u64()?,
            },
            GROUP => TrailBody::Group {
                alarms: versions(&mut reader)?,
                deeds: names(&mut reader)?,
                content: reader.long(GROUP_MAX)?,
            },
            _ => return Err(Damaged),
        };
        reader.end()?;
        Ok(Self { epoch, id, term, body })
    }

    /// Returns the byte form.
    pub fn write(&self) -> Vec<u8> {
        let kind = match self.body {
            TrailBody::Claim { .. } => CLAIM,
            TrailBody::Renewal { .. } => RENEWAL,
            TrailBody::Farewell { .. } => FAREWELL,
            TrailBody::Group { .. } => GROUP,
        };
        let mut out = vec![VERSION, kind];
        out.put_u32(self.epoch);
        out.put_u64(self.id.node.0);
        out.put_u64(self.id.run);
        out.put_u64(self.id.number);
        out.put_u64(self.term.0);
        match &self.body {
            TrailBody::Claim { settings_hash, sequence, running_hash }
            | TrailBody::Renewal { settings_hash, sequence, running_hash }
            | TrailBody::Farewell { settings_hash, sequence, running_hash } => {
                out.put_u64(*settings_hash);
                out.put_u64(*sequence);
                out.put_u64(*running_hash);
            }
            TrailBody::Group { alarms, deeds, content } => {
                put_versions(&mut out, alarms);
                out.put_count(deeds.len());
                deeds.iter().for_each(|deed| put_name(&mut out, deed.0));
                out.put_long(content);
            }
        }
        seal(&mut out);
        out
    }
}

/// Reads a number of 128 bits.
pub(crate) fn name(reader: &mut Reader<'_>) -> Result<u128, Damaged> {
    let (low, high) = (reader.u64()?, reader.u64()?);
    Ok(u128::from(high) << 64 | u128::from(low))
}

/// Writes a number of 128 bits.
pub(crate) fn put_name(out: &mut Vec<u8>, name: u128) {
    out.put(&name.to_le_bytes());
}

/// Reads names of deeds, at most [`NAMES_MAX`].
fn names(reader: &mut Reader<'_>) -> Result<Vec<DeedId>, Damaged> {
    let count = reader.count(NAMES_MAX, NAME_LEN)?;
    (0..count).map(|_| name(reader).map(DeedId)).collect()
}

/// Reads versions of alarms, at most [`NAMES_MAX`].
pub(crate) fn versions(reader: &mut Reader<'_>) -> Result<Vec<AlarmVersion>, Damaged> {
    let count = reader.count(NAMES_MAX, VERSION_LEN)?;
    let one = |_| Ok(AlarmVersion { alarm: AlarmId(name(reader)?), hash: reader.u64()? });
    (0..count).map(one).collect()
}

/// Writes versions of alarms.
pub(crate) fn put_versions(out: &mut Vec<u8>, versions: &[AlarmVersion]) {
    out.put_count(versions.len());
    for version in versions {
        put_name(out, version.alarm.0);
        out.put_u64(version.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{assert_damage_is_found, assert_no_damage_panics};

    #[test]
    fn each_is_read_as_it_was_written_and_damage_is_found() {
        let bodies = [
            TrailBody::Claim { settings_hash: 4, sequence: 8, running_hash: 6 },
            TrailBody::Renewal { settings_hash: 4, sequence: 9, running_hash: 5 },
            TrailBody::Farewell { settings_hash: 4, sequence: 9, running_hash: 5 },
            TrailBody::Group { alarms: vec![], deeds: vec![], content: b"" },
            TrailBody::Group {
                alarms: [1 << 100, 2].map(|alarm| AlarmVersion { alarm: AlarmId(alarm), hash: 8 }).to_vec(),
                deeds: vec![DeedId(7)],
                content: b"drafts",
            },
        ];
        let mut chance = fastrand::Rng::with_seed(17);
        for body in bodies {
            let id = EntryId { node: NodeId(3), run: 8, number: 2 };
            let entry = TrailEntry { epoch: 1, id, term: Term(77), body };
            let bytes = entry.write();
            assert_eq!(TrailEntry::read(&bytes), Ok(entry));
            assert_damage_is_found(&bytes, |bytes| TrailEntry::read(bytes).map(|_| ()));
            let again = |bytes: &[u8]| TrailEntry::read(bytes).map(|entry| entry.write());
            assert_no_damage_panics(&bytes, &mut chance, again, Vec::clone);
        }
    }

    #[test]
    fn a_group_that_is_too_large_is_refused() {
        let id = EntryId { node: NodeId(3), run: 8, number: 2 };
        let group = |alarms: usize, len: usize| {
            let content = vec![0; len];
            let version = |alarm| AlarmVersion { alarm: AlarmId(alarm), hash: 8 };
            let alarms = (0..alarms as u128).map(version).collect();
            let body = TrailBody::Group { alarms, deeds: vec![], content: &content };
            let bytes = TrailEntry { epoch: 1, id, term: Term(1), body }.write();
            TrailEntry::read(&bytes).map(|_| ())
        };
        assert_eq!(group(NAMES_MAX, GROUP_MAX), Ok(()));
        assert_eq!(group(NAMES_MAX + 1, 0), Err(Damaged));
        assert_eq!(group(0, GROUP_MAX + 1), Err(Damaged));
    }
}
