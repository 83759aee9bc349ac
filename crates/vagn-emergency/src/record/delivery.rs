//! A delivery: what one target was told of one incident, and what it is still owed.
//!
//! Pure: it is part of the incident's record, and the desk decides about it.

use serde::{Deserialize, Serialize};
use vagn_wire::{Position, Reject};

use crate::fix::Fix;
use crate::record::attempt::Message;

/// State of one target in one incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Name of the target.
    pub target: Box<str>,
    /// Begin of its first turn, ms since 1970.
    pub engaged_ms: i64,
    /// Time at which it accepted the opening, ms since 1970.
    pub accepted_ms: Option<i64>,
    /// Status with which it refused for good: a dead letter.
    pub dead: Option<u16>,
    /// Number of refusals for good.
    pub deaths: u32,
    /// True when its turn came again, and it was not told yet.
    pub reminder: bool,
    /// What the target learned from the latest message that it accepted.
    pub told: Told,
    /// Message under way, if that is not the opening. Kept until it is accepted, so that a repeat has the same key.
    pub follow_up: Option<FollowUp>,
}

/// Content of a message, apart from what never changes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Told {
    /// Position of the vehicle.
    pub position: Option<ToldPosition>,
    /// True once a person has acknowledged it.
    pub acknowledged: bool,
}

/// Position as a target was told it. It has no time: a vehicle that still stands there is no news.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "(f64, f64, bool)", try_from = "(f64, f64, bool)")]
pub struct ToldPosition {
    position: Position,
    trusted: bool,
}

impl From<Fix> for ToldPosition {
    fn from(Fix { position, trusted, .. }: Fix) -> Self {
        Self { position, trusted }
    }
}

impl From<ToldPosition> for (f64, f64, bool) {
    fn from(ToldPosition { position, trusted }: ToldPosition) -> Self {
        (position.lat(), position.lon(), trusted)
    }
}

impl TryFrom<(f64, f64, bool)> for ToldPosition {
    type Error = Reject;

    fn try_from((lat, lon, trusted): (f64, f64, bool)) -> Result<Self, Reject> {
        Ok(Self { position: Position::new(lat, lon)?, trusted })
    }
}

/// A message after the opening.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FollowUp {
    /// Kind of the message.
    pub message: Message,
    /// Content of the message.
    pub told: Told,
    /// Number that makes its key, from 1 within the incident.
    pub number: u64,
}

impl Delivery {
    /// Begins with the first turn of `target`.
    pub fn new(target: &str, engaged_ms: i64) -> Self {
        Self {
            target: target.into(),
            engaged_ms,
            accepted_ms: None,
            dead: None,
            deaths: 0,
            reminder: false,
            told: Told::default(),
            follow_up: None,
        }
    }

    /// Returns the message that the target is owed, if `now` is what there is to tell.
    pub fn owed(&self, now: Told) -> Option<Message> {
        match self {
            Self { dead: Some(_), .. } => None,
            Self { accepted_ms: None, .. } => Some(Message::Opened),
            Self { reminder: true, .. } => Some(Message::Escalated),
            // A message whose answer was lost may have been heard, and has to be put right even if all is as before it.
            Self { told, follow_up, .. } => (*told != now || follow_up.is_some()).then_some(Message::Updated),
        }
    }

    /// Returns the number of the message to send now: that of an earlier try of the very same message, else the one after
    /// `latest`, which is moved on.
    pub fn number(&mut self, message: Message, told: Told, latest: &mut u64) -> u64 {
        // The opening has no number: its key is the incident's id, from whichever target and run it comes.
        if message == Message::Opened {
            return 0;
        }
        if let Some(tried) = self.follow_up
            && tried.number != 0
            && tried.message == message
            && tried.told == told
        {
            return tried.number;
        }
        *latest = latest.saturating_add(1);
        self.follow_up = Some(FollowUp { message, told, number: *latest });
        *latest
    }

    /// Gives the message under way another number at its next try: another leader gave it this one, and may have gone on.
    pub(crate) fn renumber(&mut self) {
        if let Some(tried) = &mut self.follow_up {
            tried.number = 0;
        }
    }

    /// Notes that the target has accepted `message`, which said `told`.
    pub fn accepted(&mut self, message: Message, told: Told, at_ms: i64) {
        self.dead = None;
        self.accepted_ms.get_or_insert(at_ms);
        self.told = told;
        // Another message that was under way when the turn came again does not remind the target.
        self.reminder &= message != Message::Escalated;
        self.follow_up = None;
    }

    /// Notes that the target has refused for good.
    pub fn died(&mut self, status: u16) {
        self.dead = Some(status);
        self.deaths = self.deaths.saturating_add(1);
        self.follow_up = None;
    }

    /// Begins another turn. Returns true when there is now something to tell that was not owed before.
    pub fn engage_again(&mut self) -> bool {
        let was_owed_nothing = self.accepted_ms.is_some() || self.dead.is_some();
        self.dead = None;
        self.reminder = self.accepted_ms.is_some();
        was_owed_nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lat: f64) -> Told {
        Told { position: Some(Fix::at(lat, 0.0, 0, true).into()), acknowledged: false }
    }

    #[test]
    fn owes_the_opening_first_and_then_what_is_new() {
        let mut delivery = Delivery::new("county", 0);
        assert_eq!(delivery.owed(at(1.0)), Some(Message::Opened));
        delivery.accepted(Message::Opened, at(1.0), 5);
        assert_eq!((delivery.owed(at(1.0)), delivery.owed(at(2.0))), (None, Some(Message::Updated)));
        assert!(delivery.engage_again());
        assert_eq!(delivery.owed(at(1.0)), Some(Message::Escalated));
        delivery.accepted(Message::Escalated, at(2.0), 9);
        assert_eq!((delivery.owed(at(2.0)), delivery.accepted_ms), (None, Some(5)));
    }

    #[test]
    fn a_dead_letter_waits_for_its_next_turn() {
        let mut delivery = Delivery::new("county", 0);
        assert!(!delivery.engage_again(), "a notice is on its way anyway");
        delivery.died(404);
        assert_eq!(delivery.owed(at(1.0)), None);
        assert!(delivery.engage_again());
        assert_eq!((delivery.owed(at(1.0)), delivery.deaths), (Some(Message::Opened), 1));
    }

    #[test]
    fn only_the_very_same_message_keeps_its_key() {
        let mut delivery = Delivery::new("county", 0);
        let mut latest = 0;
        assert_eq!(delivery.number(Message::Opened, at(1.0), &mut latest), 0);
        for (lat, number) in [(1.0, 1), (1.0, 1), (2.0, 2)] {
            assert_eq!(delivery.number(Message::Updated, at(lat), &mut latest), number);
        }
        delivery.accepted_ms = Some(1);
        delivery.told = at(1.0);
        assert_eq!(delivery.owed(at(1.0)), Some(Message::Updated), "it may have heard of 2.0");
        assert_eq!(delivery.number(Message::Escalated, at(2.0), &mut latest), 3);
        delivery.accepted(Message::Escalated, at(2.0), 0);
        assert_eq!(delivery.number(Message::Updated, at(2.0), &mut latest), 4);
    }
}
