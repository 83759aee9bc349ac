//! Fates of a report.

use std::fmt;
use std::str::FromStr;

/// Outcome of a report in the service. Every report ends in exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// In the log and in the live index.
    Stored,
    /// Older than the stored position of this vehicle; in the log as late.
    Stale,
    /// Came before: a `Seq` that was seen and nothing newer, or the same `Ts` and position.
    Duplicate,
    /// Not a usable report; [`Reject`](crate::Reject) says why.
    Invalid,
    /// The sender did not prove its identity.
    Unauthenticated,
    /// Dropped under load, or beyond the number of vehicles kept.
    Shed,
    /// Lost through a fault of the service: a crash, a dead disk.
    Failed,
}

impl Fate {
    /// Every fate, in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::Stored,
        Self::Stale,
        Self::Duplicate,
        Self::Invalid,
        Self::Unauthenticated,
        Self::Shed,
        Self::Failed,
    ];

    /// Returns the word in acks and metrics, in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Stale => "stale",
            Self::Duplicate => "duplicate",
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Shed => "shed",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The word names no fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("fate is not a known word")]
pub struct UnknownFate;

impl FromStr for Fate {
    type Err = UnknownFate;

    fn from_str(word: &str) -> Result<Self, UnknownFate> {
        Self::ALL.into_iter().find(|fate| fate.as_str() == word).ok_or(UnknownFate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_is_read_back_from_its_word() {
        for (index, fate) in Fate::ALL.into_iter().enumerate() {
            assert_eq!(fate as usize, index);
            assert_eq!(fate.to_string().parse(), Ok(fate));
        }
        assert_eq!("Stored".parse::<Fate>(), Err(UnknownFate));
    }
}
