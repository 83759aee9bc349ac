//! Hashes of the last entries, by sequence.

use std::collections::VecDeque;

/// Entries whose hashes are remembered.
const KEPT: usize = 1_024;

/// One number for each of the last sequences, without gaps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ring {
    first: u64,
    values: VecDeque<u64>,
}

impl Ring {
    /// Adds the number of a sequence. What is remembered ends before it, or is forgotten.
    pub(crate) fn push(&mut self, sequence: u64, value: u64) {
        if self.first + self.values.len() as u64 != sequence {
            self.values.clear();
        }
        if self.values.is_empty() {
            self.first = sequence;
        }
        self.values.push_back(value);
        if self.values.len() > KEPT {
            self.values.pop_front();
            self.first += 1;
        }
    }

    /// Returns the number of a sequence, if it is remembered.
    pub(crate) fn get(&self, sequence: u64) -> Option<u64> {
        let at = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.values.get(at).copied()
    }

    /// Returns the first sequence that is remembered.
    pub(crate) fn first(&self) -> Option<u64> {
        (!self.values.is_empty()).then_some(self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_last_without_gaps() {
        let mut ring = Ring::default();
        assert_eq!((ring.get(0), ring.first()), (None, None));
        for sequence in 5..5 + 2 * KEPT as u64 {
            ring.push(sequence, sequence * 3);
        }
        let last = 4 + 2 * KEPT as u64;
        assert_eq!((ring.get(last), ring.get(last + 1)), (Some(last * 3), None));
        assert_eq!(ring.first(), Some(5 + KEPT as u64));
        assert_eq!(
            (ring.get(4 + KEPT as u64), ring.get(5 + KEPT as u64)),
            (None, Some((5 + KEPT as u64) * 3))
        );
        ring.push(last + 2, 1);
        assert_eq!((ring.get(last), ring.get(last + 2), ring.first()), (None, Some(1), Some(last + 2)));
    }
}
