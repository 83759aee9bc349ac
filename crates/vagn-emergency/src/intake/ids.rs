//! Ids of incidents, made for the alarms that may open one.

use crate::id::IncidentId;

/// Random bits of a UUID of version 7, beside time, version and variant.
const RANDOM_BITS: u32 = 74;

/// Random bits below the variant, the second part of them.
const LOW_BITS: u32 = 62;

/// Makes ids that rise with the time and never go back, also within one millisecond: UUIDs of version 7, by the method
/// of the monotonic random (RFC 9562, section 6.2).
pub(super) struct IdMaker {
    rng: fastrand::Rng,
    millis: u64,
    random: u128,
}

impl IdMaker {
    /// Returns a maker whose ids are random by `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), millis: 0, random: 0 }
    }

    /// Makes the next id, for an alarm that arrived at `now_ms` since 1970.
    pub(super) fn next(&mut self, now_ms: i64) -> IncidentId {
        let now_ms = u64::try_from(now_ms).unwrap_or(0);
        if now_ms > self.millis {
            self.start(now_ms);
        } else {
            // The same millisecond, or the wall clock was set back.
            self.random += u128::from(self.rng.u32(..)) + 1;
            if self.random >> RANDOM_BITS != 0 {
                self.start(self.millis + 1);
            }
        }
        IncidentId::from_u128(self.uuid().as_u128())
    }

    fn start(&mut self, millis: u64) {
        self.millis = millis;
        // The highest bit stays 0, so that a busy millisecond does not run out of numbers.
        self.random = self.rng.u128(..) >> (u128::BITS - RANDOM_BITS + 1);
    }

    fn uuid(&self) -> uuid::Uuid {
        let high = (self.random >> LOW_BITS) as u16;
        let low = self.random as u64 & (u64::MAX >> (u64::BITS - LOW_BITS));
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&high.to_be_bytes());
        bytes[2..].copy_from_slice(&low.to_be_bytes());
        // Sets version and variant in the bits that are left free.
        uuid::Builder::from_unix_timestamp_millis(self.millis, &bytes).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    #[test]
    fn ids_rise_with_the_time_within_a_millisecond_and_when_the_clock_is_set_back() {
        let mut ids = IdMaker::new(7);
        let mut made = Vec::new();
        for ms in [0, 0, 0, 1, 1, -5, 2] {
            made.push(ids.next(NOW_MS + ms));
        }
        for _ in 0..100_000 {
            made.push(ids.next(NOW_MS + 2));
        }
        assert!(made.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn an_id_is_a_uuid_of_version_7_with_the_time_of_arrival() {
        let mut ids = IdMaker::new(7);
        for step in 0..1_000 {
            let uuid = uuid::Uuid::from_u128(ids.next(NOW_MS + step / 3).as_u128());
            assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
            assert_eq!((uuid.as_u128() >> 80) as i64, NOW_MS + step / 3);
        }
    }

    #[test]
    fn a_millisecond_that_runs_out_of_numbers_borrows_from_the_next() {
        let mut ids = IdMaker::new(7);
        let before = ids.next(NOW_MS);
        ids.random = (1 << RANDOM_BITS) - 1;
        let after = ids.next(NOW_MS);
        assert!(before < after && ids.millis == NOW_MS as u64 + 1);
    }
}
