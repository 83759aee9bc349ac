//! Salts that an append drew, so that the same append can be made again with the same hashes.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::subject::SubjectId;

/// Salts of the subjects that were new in an append.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Salts {
    drawn: Vec<(SubjectId, u128)>,
    /// Salts of an earlier append.
    #[serde(skip)]
    given: HashMap<SubjectId, u128>,
}

impl Salts {
    /// Returns them for the same append once more: they are given, and not drawn anew.
    pub fn again(self) -> Self {
        Self { drawn: Vec::new(), given: self.drawn.into_iter().collect() }
    }

    /// Returns the salt of a new subject. An append asks once for each.
    pub(super) fn salt_of(&mut self, id: SubjectId) -> u128 {
        // A salt that could be guessed would let an erased id be guessed too, so it comes from the system's randomness.
        let salt = self.given.get(&id).copied().unwrap_or_else(|| Uuid::new_v4().as_u128());
        self.drawn.push((id, salt));
        salt
    }
}

#[cfg(test)]
impl Salts {
    /// Draws the salt of a subject.
    pub(crate) fn draw(&mut self, id: SubjectId) {
        self.salt_of(id);
    }
}
