//! Events of the feed, and gaps between them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

/// Identifies an event: the run of the service and the event's number in it. Written `<run>-<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId {
    /// Start of the run, ms since 1970.
    pub run: u64,
    /// Number of the event, from 1; 0 is before the first.
    pub number: u64,
}

/// A text that is no event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("event id is not <run>-<number>")]
pub struct BadEventId;

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.run, self.number)
    }
}

impl FromStr for EventId {
    type Err = BadEventId;

    fn from_str(text: &str) -> Result<Self, BadEventId> {
        let (run, number) = text.split_once('-').ok_or(BadEventId)?;
        Ok(Self { run: number_of(run)?, number: number_of(number)? })
    }
}

/// Reads digits alone: the number's own parser would take a plus sign as well.
fn number_of(digits: &str) -> Result<u64, BadEventId> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadEventId);
    }
    digits.parse().map_err(|_| BadEventId)
}

/// A change of an incident.
#[derive(Debug, PartialEq, Eq)]
pub struct FeedEvent {
    /// Id of the event.
    pub id: EventId,
    /// `{"change":…,"time":…,"incident":{…}}` in one line.
    pub data: Box<str>,
}

/// Reason for missing events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The follower's last event is not of this run: the service was restarted, or never gave out such an id.
    UnknownEvent,
    /// More events came after the follower's last one than are kept.
    MissedEvents,
}

/// An item for a follower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedItem {
    /// The event after the last one.
    Event(Arc<FeedEvent>),
    /// Events are missing here; the next item comes after `id`.
    Gap {
        /// Latest event that is passed over.
        id: EventId,
        /// Reason for the gap.
        reason: GapReason,
    },
}
