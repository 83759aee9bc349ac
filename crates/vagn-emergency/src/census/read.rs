//! What a file of the census says: the rounds of vehicles, by their hashes.

use std::io::{self, Read};

use super::file::{END_BYTES, ENTRY_BYTES, HEAD_BYTES, MAGIC, Part, VERSION};
use super::rows::ROUNDS;
use super::vehicle_hash::{HashKey, KEY_BYTES, ROUND_BITS};

/// Entries that are read together.
const AT_ONCE: usize = 8_192;

/// Rounds as an earlier run has counted them. Eight bytes for each vehicle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) key: HashKey,
    /// Latest receive number that was counted.
    pub(super) latest: u64,
    /// Hash << 4 | rounds, in order.
    entries: Vec<u64>,
}

/// Reason for which a file of the census says nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum CensusError {
    /// The disk does not give it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not as it was written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// A later version wrote it.
    #[error("it has version {0}, and this version of Vagn reads {VERSION}")]
    Newer(u32),
}

use CensusError::Damaged;

impl Remembered {
    /// Reads a file of `len` bytes, which must be of this partition.
    ///
    /// # Errors
    /// When it is not what was written for the partition, by this version.
    pub(super) fn read(source: &mut dyn Read, len: u64, part: Part) -> Result<Self, CensusError> {
        let mut summed = Summed { source, crc: 0 };
        let key = head(&mut summed, part)?;
        let rest = len.checked_sub((HEAD_BYTES + END_BYTES) as u64).ok_or(Damaged("it was cut off"))?;
        if !rest.is_multiple_of(ENTRY_BYTES as u64) {
            return Err(Damaged("it was cut off"));
        }
        let count = usize::try_from(rest).map_err(io::Error::other)? / ENTRY_BYTES;
        let mut entries = Vec::with_capacity(count);
        while entries.len() < count {
            let mut bytes = [0; AT_ONCE * ENTRY_BYTES];
            let some = &mut bytes[..(count - entries.len()).min(AT_ONCE) * ENTRY_BYTES];
            summed.fill(some)?;
            entries.extend(some.as_chunks().0.iter().map(|entry| u64::from_le_bytes(*entry)));
        }
        let latest = u64::from_le_bytes(summed.take()?);
        let crc = summed.crc;
        if u32::from_le_bytes(summed.take()?) != crc {
            return Err(Damaged("its checksum is another one"));
        }
        if !entries.iter().all(|entry| (1..=ROUNDS).contains(&rounds(*entry))) {
            return Err(Damaged("it has rounds that cannot be"));
        }
        entries.sort_unstable();
        Ok(Self { key, latest, entries })
    }

    /// Returns the rounds of the vehicle with this hash; 0 when it has none.
    pub(super) fn rounds(&self, hash: u64) -> u32 {
        let at = self.entries.partition_point(|entry| entry >> ROUND_BITS < hash);
        self.entries.get(at).filter(|entry| **entry >> ROUND_BITS == hash).map_or(0, |entry| rounds(*entry))
    }

    /// Returns the entries, in their order.
    #[cfg(test)]
    pub(super) fn entries(&self) -> &[u64] {
        &self.entries
    }
}

/// Returns the entry for a vehicle.
pub(super) fn entry(hash: u64, rounds: u32) -> u64 {
    hash << ROUND_BITS | u64::from(rounds)
}

fn rounds(entry: u64) -> u32 {
    (entry & ((1 << ROUND_BITS) - 1)) as u32
}

/// Reads the head, and returns the key of the hash.
fn head(source: &mut Summed<'_>, part: Part) -> Result<HashKey, CensusError> {
    if source.take::<{ MAGIC.len() }>()? != *MAGIC {
        return Err(Damaged("it does not begin as one"));
    }
    match u32::from_le_bytes(source.take()?) {
        VERSION => {}
        version if version > VERSION => return Err(CensusError::Newer(version)),
        _ => return Err(Damaged("there is no such version")),
    }
    let [number, of] = [source.take()?, source.take()?].map(u32::from_le_bytes);
    if (Part { number, of }) != part {
        return Err(Damaged("it is of another partition"));
    }
    Ok(HashKey::of_bytes(source.take::<KEY_BYTES>()?))
}

/// A source of bytes, and the checksum of those that were read.
struct Summed<'a> {
    source: &'a mut dyn Read,
    crc: u32,
}

impl Summed<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], CensusError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CensusError> {
        match self.source.read_exact(bytes) {
            Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => return Err(Damaged("it was cut off")),
            read => read?,
        }
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        Ok(())
    }
}
