//! The name of an incident: a UUID that rises with the time of opening.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::{ContextV7, Timestamp, Uuid};

/// Names an incident everywhere, and is the key under which every call for it goes out. Ordered by time of opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(u128);

impl IncidentId {
    /// As the number that orders it.
    pub fn as_u128(self) -> u128 {
        self.0
    }

    /// The id with this number.
    pub fn from_u128(number: u128) -> Self {
        Self(number)
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).hyphenated().fmt(f)
    }
}

/// The text is not a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("incident id is not a UUID")]
pub struct BadIncidentId;

impl FromStr for IncidentId {
    type Err = BadIncidentId;

    fn from_str(text: &str) -> Result<Self, BadIncidentId> {
        Uuid::try_parse(text).map(|id| Self(id.as_u128())).map_err(|_| BadIncidentId)
    }
}

impl Serialize for IncidentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IncidentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Makes ids that never go back, also within one millisecond (UUID version 7).
#[derive(Default)]
pub struct IdMaker(ContextV7);

impl IdMaker {
    /// The next id, for an incident opened at `now_ms` since 1970.
    pub fn next(&self, now_ms: i64) -> IncidentId {
        let now_ms = u64::try_from(now_ms).unwrap_or(0);
        let nanos = (now_ms % 1000) as u32 * 1_000_000;
        let time = Timestamp::from_unix(&self.0, now_ms / 1000, nanos);
        IncidentId(Uuid::new_v7(time).as_u128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_with_the_time_and_within_a_millisecond() {
        let ids = IdMaker::default();
        let made: Vec<_> = [1_000, 1_000, 1_000, 1_001, 1_001].map(|ms| ids.next(ms)).into();
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
        assert_eq!(made[0].to_string().parse(), Ok(made[0]));
        assert_eq!("no uuid".parse::<IncidentId>(), Err(BadIncidentId));
    }
}
