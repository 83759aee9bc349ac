//! Subject of an entry: its kind, and a number that says nothing by itself.
//!
//! The hashes cover kind and number only. The id behind the number stands in a table of its own with a random salt, and
//! the number is made of both: so another id in its place is found, and once the row is erased nothing tells any more
//! what the number meant, while every hash stays right.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::IncidentId;

/// Id of the thing that an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectId {
    /// An incident.
    Incident(IncidentId),
}

impl SubjectId {
    pub(super) fn kind(self) -> SubjectKind {
        match self {
            Self::Incident(_) => SubjectKind::Incident,
        }
    }

    /// Returns the id as a text, unique within its kind.
    pub(super) fn text(self) -> String {
        match self {
            Self::Incident(id) => id.to_string(),
        }
    }

    pub(super) fn read(kind: SubjectKind, text: &str) -> Option<Self> {
        match kind {
            SubjectKind::Incident => text.parse().ok().map(Self::Incident),
        }
    }

    /// Returns the incident, if it is one.
    pub fn incident(self) -> Option<IncidentId> {
        match self {
            Self::Incident(id) => Some(id),
        }
    }
}

impl fmt::Display for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind().as_str(), self.text())
    }
}

/// Kind of a subject. Ids of different kinds may be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubjectKind {
    /// An incident.
    Incident,
}

impl SubjectKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Incident => "incident",
        }
    }
}

/// Subject as the hashes cover it, written `<kind>:<32 hexadecimal digits>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    pub(super) kind: SubjectKind,
    pub(super) number: u128,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:032x}", self.kind.as_str(), self.number)
    }
}

/// The text is not a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a subject: a kind, a colon and 32 hexadecimal digits")]
pub struct BadSubject;

impl FromStr for Subject {
    type Err = BadSubject;

    fn from_str(text: &str) -> Result<Self, BadSubject> {
        let number = text.strip_prefix("incident:").and_then(read_hex).ok_or(BadSubject)?;
        Ok(Self { kind: SubjectKind::Incident, number })
    }
}

/// Id behind a subject, for as long as it is not erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// The id behind the subject.
    pub id: SubjectId,
    /// Random number without which the id cannot be guessed from the subject.
    pub(super) salt: u128,
}

impl Meaning {
    /// Returns the subject that stands for it: the first half of the SHA-256 of `<salt>:<kind>:<id>`.
    pub fn subject(&self) -> Subject {
        let kind = self.id.kind();
        let text = format!("{}:{}:{}", self.salt_hex(), kind.as_str(), self.id.text());
        let hash: [u8; 32] = Sha256::digest(text).into();
        let (half, _) = hash.split_first_chunk().expect("a SHA-256 has 32 bytes");
        Subject { kind, number: u128::from_be_bytes(*half) }
    }

    /// Returns the salt in hex.
    pub fn salt_hex(&self) -> String {
        format!("{:032x}", self.salt)
    }
}

/// Reads a number from exactly 32 lower-case hexadecimal digits: the hashes cover the text, so there is one text only.
pub(super) fn read_hex(text: &str) -> Option<u128> {
    let number = u128::from_str_radix(text, 16).ok()?;
    (format!("{number:032x}") == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(id: u128, salt: u128) -> Meaning {
        Meaning { id: SubjectId::Incident(IncidentId::from_u128(id)), salt }
    }

    #[test]
    fn the_subject_is_the_documented_one() {
        // Worked out with Python's hashlib.
        let want = "incident:bfc24d8a54faf1fbd0b1849b0d1431ec";
        assert_eq!(meaning(7, 9).subject().to_string(), want);
        assert_ne!(meaning(7, 8).subject(), meaning(7, 9).subject());
    }

    #[test]
    fn a_subject_is_read_as_it_is_written() {
        let subject = meaning(7, 9).subject();
        let text = subject.to_string();
        assert_eq!(text.parse(), Ok(subject));
        for wrong in ["", "incident:", "incident:7", "token:00", &text.to_uppercase(), &format!("{text}0")] {
            assert_eq!(wrong.parse::<Subject>(), Err(BadSubject), "{wrong}");
        }
    }
}
