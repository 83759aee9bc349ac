//! The cause of an emergency.

use std::fmt;
use std::str::FromStr;

/// Cause of an emergency, with the distinction that eCall makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Set off by the vehicle's own sensors.
    Auto,
    /// Set off by a person.
    Manual,
    /// A drill: recorded, never passed on to the emergency service.
    Test,
}

impl Kind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Manual, Self::Test];

    /// Returns the word on the wire: `auto`, `manual` or `test`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The word is none of `auto`, `manual` and `test`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("kind is not one of auto, manual, test")]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(word: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or(UnknownKind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_from_its_word() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
    }

    #[test]
    fn other_words_are_no_kind() {
        for word in ["", "Test", "auto ", "drill"] {
            assert_eq!(word.parse::<Kind>(), Err(UnknownKind), "{word:?}");
        }
    }
}
