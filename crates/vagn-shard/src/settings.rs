//! Settings that all replicas of a shard must share, as what is stored and forgotten depends on them.

use vagn_cluster::Damaged;
use vagn_cluster::bytes::{Reader, Write};

const VERSION: u8 = 1;

/// Settings of a shard: what a new data set begins with, and what a change of settings brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardSettings {
    /// Silence after which a vehicle is forgotten, ms.
    pub forget_after_ms: i64,
    /// Greatest number of vehicles of the shard: a new one beyond is shed.
    pub max_vehicles: u32,
}

impl ShardSettings {
    /// Settings under which all is kept.
    pub const UNBOUNDED: Self = Self { forget_after_ms: i64::MAX, max_vehicles: u32::MAX };

    /// Returns the byte form.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) returned: all of `bytes`.
    ///
    /// # Errors
    /// [`Damaged`] when it returned no such bytes, or the time is not above 0.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut bytes = Reader::new(bytes);
        let settings = Self::read(&mut bytes)?;
        bytes.end()?;
        Ok(settings)
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.put_u8(VERSION);
        out.put_i64(self.forget_after_ms);
        out.put_u32(self.max_vehicles);
    }

    pub(crate) fn read(bytes: &mut Reader<'_>) -> Result<Self, Damaged> {
        if bytes.u8()? != VERSION {
            return Err(Damaged);
        }
        let settings = Self { forget_after_ms: bytes.i64()?, max_vehicles: bytes.u32()? };
        if settings.forget_after_ms > 0 { Ok(settings) } else { Err(Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_read_as_they_were_written_and_nothing_else() {
        for settings in
            [ShardSettings { forget_after_ms: 86_400_000, max_vehicles: 7 }, ShardSettings::UNBOUNDED]
        {
            let bytes = settings.to_bytes();
            assert_eq!(ShardSettings::of_bytes(&bytes), Ok(settings));
            assert!((0..bytes.len()).all(|cut| ShardSettings::of_bytes(&bytes[..cut]).is_err()));
            assert!(ShardSettings::of_bytes(&[&bytes[..], &[0]].concat()).is_err());
        }
        let never = ShardSettings { forget_after_ms: 0, max_vehicles: 7 };
        assert!(ShardSettings::of_bytes(&never.to_bytes()).is_err());
    }
}
