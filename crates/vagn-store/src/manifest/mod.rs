//! Manifests: small files that say what must be in the data directory, so that what is missing is not taken for what never
//! was.
//!
//! There is one at the top, about the sets of partitions and the parts beside them, and one in each partition, about its log
//! and its snapshots. A manifest names a thing once that is durable, and before anything in it is answered for; a thing that
//! is to go leaves the manifest first. So what is named must be there, after any crash. Each is a text with a checksum, and is
//! replaced as a whole.

#[cfg(test)]
mod fuzz;
pub(crate) mod partition;
pub(crate) mod text;
pub(crate) mod top;

use std::fmt;

/// The one format of a data directory that this version reads and writes.
pub(crate) const FORMAT: u32 = 3;

/// Name of a manifest in its directory.
pub(crate) const FILE: &str = "manifest";

/// Name of a manifest while it is being written.
pub(crate) const UNFINISHED: &str = "manifest.tmp";

/// Random id of a set of partitions: that of another data directory has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SetId(u64);

impl SetId {
    /// Returns the id of the set `number` that is drawn with `chance`.
    pub(crate) fn draw(chance: u64, number: u64) -> SetId {
        // SplitMix64 (Steele, Lea, Flood 2014): one draw of chance serves for all sets of a run.
        let mut mixed = chance.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        SetId(mixed ^ (mixed >> 31))
    }

    fn parse(text: &str) -> Option<SetId> {
        u64::from_str_radix(text, 16).ok().map(SetId)
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
