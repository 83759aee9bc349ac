//! A delivery: what one target has been told of one incident, and what it is still owed.
//!
//! Pure: it is part of the incident's record, and is decided upon by the desk.

use serde::{Deserialize, Serialize};

use crate::fix::Fix;
use crate::record::attempt::Message;

/// How far one target is with one incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The target's name.
    pub target: Box<str>,
    /// When it became its turn, ms since 1970.
    pub engaged_ms: i64,
    /// When it accepted the opening, ms since 1970.
    pub accepted_ms: Option<i64>,
    /// It refused for good, with this status: a dead letter.
    pub dead: Option<u16>,
    /// How often it has refused for good.
    pub deaths: u32,
    /// Its turn came again, and it has not been told yet.
    pub reminder: bool,
    /// What it knows.
    pub told: Told,
    /// What it is being told, if that is not the opening. Kept until it accepts, so that a repeat has the same key.
    pub follow_up: Option<FollowUp>,
}

/// What a target knows of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Told {
    /// Where the vehicle is.
    pub spot: Option<Spot>,
    /// That a person has acknowledged it.
    pub acknowledged: bool,
}

/// A place without its time: to be there still is no news.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spot {
    lat: f64,
    lon: f64,
    trusted: bool,
}

impl From<Fix> for Spot {
    fn from(Fix { lat, lon, trusted, .. }: Fix) -> Self {
        Self { lat, lon, trusted }
    }
}

/// A message behind the opening.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FollowUp {
    /// What kind of message.
    pub message: Message,
    /// What it says.
    pub told: Told,
    /// Makes its key, from 1 within the incident.
    pub number: u64,
}

impl Delivery {
    /// It is `target`'s turn.
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

    /// What the target is owed, if `now` is what there is to tell.
    pub fn owed(&self, now: Told) -> Option<Message> {
        match self {
            Self { dead: Some(_), .. } => None,
            Self { accepted_ms: None, .. } => Some(Message::Opened),
            Self { reminder: true, .. } => Some(Message::Escalated),
            // What it may have heard without our knowing has to be put right, even if things are as they were before.
            Self { told, follow_up, .. } => (*told != now || follow_up.is_some()).then_some(Message::Updated),
        }
    }

    /// The number of the message to send now: that of an earlier try of the very same, else the next of `numbers`.
    pub fn number(&mut self, message: Message, told: Told, numbers: &mut u64) -> u64 {
        if message == Message::Opened {
            return 0;
        }
        let same = |tried: &FollowUp| tried.message == message && tried.told == told;
        if let Some(tried) = self.follow_up.filter(same) {
            return tried.number;
        }
        *numbers = numbers.saturating_add(1);
        self.follow_up = Some(FollowUp { message, told, number: *numbers });
        *numbers
    }

    /// The target has accepted `message`, which said `told`.
    pub fn accepted(&mut self, message: Message, told: Told, at_ms: i64) {
        self.dead = None;
        self.accepted_ms.get_or_insert(at_ms);
        self.told = told;
        self.reminder &= message != Message::Escalated;
        self.follow_up = None;
    }

    /// The target has refused for good.
    pub fn died(&mut self, status: u16) {
        self.dead = Some(status);
        self.deaths = self.deaths.saturating_add(1);
        self.follow_up = None;
    }

    /// Its turn has come again. Returns whether there is something to tell that was not owed before.
    pub fn engage_again(&mut self) -> bool {
        let owed = self.accepted_ms.is_some() || self.dead.is_some();
        self.dead = None;
        self.reminder = self.accepted_ms.is_some();
        owed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lat: f64) -> Told {
        Told { spot: Some(Spot { lat, lon: 0.0, trusted: true }), acknowledged: false }
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
        assert!(!delivery.engage_again(), "it is being called anyway");
        delivery.died(404);
        assert_eq!(delivery.owed(at(1.0)), None);
        assert!(delivery.engage_again());
        assert_eq!((delivery.owed(at(1.0)), delivery.deaths), (Some(Message::Opened), 1));
    }

    #[test]
    fn only_the_very_same_message_keeps_its_key() {
        let (mut delivery, mut numbers) = (Delivery::new("county", 0), 0);
        assert_eq!(delivery.number(Message::Opened, at(1.0), &mut numbers), 0);
        for (lat, number) in [(1.0, 1), (1.0, 1), (2.0, 2)] {
            assert_eq!(delivery.number(Message::Updated, at(lat), &mut numbers), number);
        }
        delivery.accepted_ms = Some(1);
        delivery.told = at(1.0);
        assert_eq!(delivery.owed(at(1.0)), Some(Message::Updated), "it may have heard of 2.0");
        assert_eq!(delivery.number(Message::Escalated, at(2.0), &mut numbers), 3);
        delivery.accepted(Message::Escalated, at(2.0), 0);
        assert_eq!(delivery.number(Message::Updated, at(2.0), &mut numbers), 4);
    }
}
