//! Events of a stream of positions, their ids, and the writer that gives them their bytes.

use std::fmt;
use std::str::FromStr;

use vagn_store::{OrderNumber, Vehicle, VehicleIdBuf};

/// Most partitions that an id is read for.
const PARTITIONS_MAX: usize = 1_024;

/// Names what a client has been told, so that it can come back for the rest: the run of the hub, the channel, and for each
/// partition the order number behind the last change that counts as told. Written `<run>-<channel>-<number>.<number>…` in
/// hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventId {
    pub(super) run: u64,
    pub(super) channel: u64,
    pub(super) ends: Box<[OrderNumber]>,
}

/// A text that is no event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("event id is not <run>-<channel>-<number>.<number>…")]
pub struct BadEventId;

impl EventId {
    /// Returns an id that no run gives out: a client that comes with it is told of a gap.
    pub fn unknown() -> Self {
        Self { run: 0, channel: 0, ends: Box::default() }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-", self.run, self.channel)?;
        for (at, end) in self.ends.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            write!(f, "{dot}{:x}", end.0)?;
        }
        Ok(())
    }
}

impl FromStr for EventId {
    type Err = BadEventId;

    fn from_str(text: &str) -> Result<Self, BadEventId> {
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(BadEventId);
        let run = number(part()?)?;
        let channel = number(part()?)?;
        let ends = part()?;
        if parts.next().is_some() || ends.split('.').nth(PARTITIONS_MAX).is_some() {
            return Err(BadEventId);
        }
        let ends = ends.split('.').map(|end| number(end).map(OrderNumber));
        Ok(Self { run, channel, ends: ends.collect::<Result<_, _>>()? })
    }
}

/// Reads a number as it is written: lower-case digits alone, the first of them not zero.
fn number(digits: &str) -> Result<u64, BadEventId> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !is_plain || (digits.starts_with('0') && digits.len() > 1) {
        return Err(BadEventId);
    }
    u64::from_str_radix(digits, 16).map_err(|_| BadEventId)
}

/// Reason for changes that a client was not told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The id that the client came with was not given out by this run for this box.
    UnknownEvent,
    /// More came after the client's last event than is kept.
    MissedEvents,
    /// Changes were lost on their way to the streams, or a partition was opened anew.
    LostChanges,
    /// The client took its events too slowly.
    SlowClient,
    /// More vehicles changed than can be told in time.
    TooManyChanges,
}

impl GapReason {
    /// All reasons, in their order.
    pub const ALL: [Self; 5] =
        [Self::UnknownEvent, Self::MissedEvents, Self::LostChanges, Self::SlowClient, Self::TooManyChanges];

    /// Returns the reason as clients and metrics have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownEvent => "unknown_event",
            Self::MissedEvents => "missed_events",
            Self::LostChanges => "lost_changes",
            Self::SlowClient => "slow_client",
            Self::TooManyChanges => "too_many_changes",
        }
    }
}

/// An event of a stream.
#[derive(Debug, Clone, Copy)]
pub enum StreamEvent<'a> {
    /// The stream begins.
    Begin,
    /// Nothing happened; the event is there for its id.
    Quiet,
    /// A vehicle is in the box, with its newest position.
    Position {
        /// The vehicle.
        vehicle: &'a Vehicle,
        /// Time of the event, ms since 1970.
        now_ms: i64,
    },
    /// A vehicle left the box.
    Left(&'a VehicleIdBuf),
    /// A vehicle of the box was deleted or forgotten.
    Gone(&'a VehicleIdBuf),
    /// Changes are missing: the fleet has to be read afresh.
    Gap(GapReason),
}

/// The form that the events of a stream have as bytes.
pub trait EventWriter: Send + Sync {
    /// Returns the name of the form. Streams of one box and one form share their bytes.
    fn name(&self) -> &'static str;

    /// Appends an event, with its id where it has one.
    fn write(&self, out: &mut Vec<u8>, event: &StreamEvent<'_>, id: Option<&EventId>);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = EventId { run: 0x1a0, channel: 7, ends: [0, 15, u64::MAX].map(OrderNumber).into() };
        assert_eq!(id.to_string(), "1a0-7-0.f.ffffffffffffffff");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("1-2-0".parse::<EventId>().unwrap().to_string(), "1-2-0");
        let too_many = format!("1-2-{}", vec!["0"; PARTITIONS_MAX + 1].join("."));
        let texts = [
            "", "-", "--", "1-2", "1-2-", "1-2-3-4", "1-2-3.", "1-2-.3", "01-2-3", "1-2-+3", "1-2-A",
            "1-2-3 ",
        ];
        for text in texts.into_iter().chain(["1-2-10000000000000000", &too_many]) {
            assert_eq!(text.parse::<EventId>(), Err(BadEventId), "{text}");
        }
    }
}
