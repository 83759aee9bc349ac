//! Mark: how far a node's incident store has the trail. The store keeps it together with the groups, all or nothing.

use crate::bytes::{Reader, Write, seal};
use crate::ids::Incarnation;
use crate::state::Damaged;
use crate::trail::ids::{Term, TrailId};

const VERSION: u8 = 1;

/// Length of the byte form.
pub(crate) const MARK_LEN: usize = 1 + 4 + 5 * 8 + 1 + 8 + 8;

/// Place in a trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The trail.
    pub trail: TrailId,
    /// Last entry that is applied, 0 for none.
    pub sequence: u64,
    /// Hash of that entry.
    pub entry_hash: u64,
    /// Hash of all entries up to it.
    pub running_hash: u64,
    /// Term in which it stands.
    pub term: Term,
    /// Settings of the leader, as the trail told last.
    pub settings_hash: Option<u64>,
}

impl Mark {
    /// Returns the place before the first entry.
    pub(crate) fn begin(trail: TrailId) -> Self {
        Self {
            trail,
            sequence: 0,
            entry_hash: 0,
            running_hash: 0,
            term: Term::default(),
            settings_hash: None,
        }
    }

    /// Returns the byte form.
    pub fn write(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_u32(self.trail.epoch);
        out.put_u64(self.trail.incarnation.0);
        out.put_u64(self.sequence);
        out.put_u64(self.entry_hash);
        out.put_u64(self.running_hash);
        out.put_u64(self.term.0);
        out.put_u8(self.settings_hash.is_some().into());
        out.put_u64(self.settings_hash.unwrap_or(0));
        seal(&mut out);
        out
    }

    /// Reads the byte form.
    ///
    /// # Errors
    /// [`Damaged`] when it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::unseal(bytes)?;
        if reader.u8()? != VERSION {
            return Err(Damaged);
        }
        let mut mark = Self {
            trail: TrailId { epoch: reader.u32()?, incarnation: Incarnation(reader.u64()?) },
            sequence: reader.u64()?,
            entry_hash: reader.u64()?,
            running_hash: reader.u64()?,
            term: Term(reader.u64()?),
            settings_hash: None,
        };
        mark.settings_hash = match (reader.flag()?, reader.u64()?) {
            (true, hash) => Some(hash),
            (false, 0) => None,
            (false, _) => return Err(Damaged),
        };
        reader.end()?;
        Ok(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{assert_damage_is_found, assert_no_damage_panics};

    #[test]
    fn is_read_as_it_was_written_and_damage_is_found() {
        let trail = TrailId { epoch: 2, incarnation: Incarnation(3) };
        let mut chance = fastrand::Rng::with_seed(3);
        for settings_hash in [None, Some(8)] {
            let mark =
                Mark { trail, sequence: 4, entry_hash: 5, running_hash: 6, term: Term(7), settings_hash };
            let bytes = mark.write();
            assert_eq!(Mark::read(&bytes), Ok(mark));
            assert_damage_is_found(&bytes, Mark::read);
            assert_no_damage_panics(&bytes, &mut chance, Mark::read, Mark::write);
        }
    }
}
