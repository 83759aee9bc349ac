//! Salts that an append drew, so that the same append can be made again with the same hashes.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
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
    /// Random number of which all others are made.
    #[serde(skip)]
    seed: Option<u128>,
}

impl Salts {
    /// Returns them for the same append once more: they are given, and not drawn anew.
    pub fn again(self) -> Self {
        Self { given: self.drawn.into_iter().collect(), ..Self::default() }
    }

    /// Returns salts that are made of a random number: all nodes of a cluster that have it make the same.
    pub(crate) fn of_seed(seed: u128) -> Self {
        Self { seed: Some(seed), ..Self::default() }
    }

    /// Returns the salt of a new subject. An append asks once for each.
    pub(super) fn salt_of(&mut self, id: SubjectId) -> u128 {
        // A salt that could be guessed would let an erased id be guessed too, so it comes from the system's randomness.
        let drawn = || self.seed.map_or_else(|| Uuid::new_v4().as_u128(), |seed| made_of(seed, id));
        let salt = self.given.get(&id).copied().unwrap_or_else(drawn);
        self.drawn.push((id, salt));
        salt
    }
}

/// Returns the salt of a subject: the first half of the SHA-256 of `<seed>:<subject>`.
fn made_of(seed: u128, id: SubjectId) -> u128 {
    let hash: [u8; 32] = Sha256::digest(format!("{seed:032x}:{id}")).into();
    let (half, _) = hash.split_first_chunk().expect("a SHA-256 has 32 bytes");
    u128::from_be_bytes(*half)
}

#[cfg(test)]
impl Salts {
    /// Draws the salt of a subject.
    pub(crate) fn draw(&mut self, id: SubjectId) {
        self.salt_of(id);
    }
}
