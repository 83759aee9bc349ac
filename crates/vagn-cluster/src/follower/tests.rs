use super::*;
use crate::event::StreamInfo;
use crate::ids::ShardId;
use crate::testing::{Log, NOW};

const STREAM: StreamId = StreamId { shard: ShardId(0), epoch: 1 };
const BORN: Incarnation = Incarnation(5);

struct Rig {
    follower: Follower,
    numbers: Numbers,
    log: Log,
    received: u64,
    now: Moment,
    out: Vec<Command>,
}

impl Rig {
    fn new(entries: u64) -> Self {
        let mut log = Log::new(1);
        for number in 1..=entries {
            log.batch(number, &["a"]);
        }
        let now = Moment { elapsed_ms: 1_000, wall_ms: NOW };
        let follower = Follower::new(STREAM, BORN, false);
        let mut rig = Self { follower, numbers: Numbers::default(), log, received: 0, now, out: Vec::new() };
        rig.run();
        rig
    }

    fn at(&self) -> Received {
        Received { last: self.received, first_hashed: 0, has_room: true }
    }

    fn run(&mut self) {
        let at = self.at();
        self.follower.run(self.now, at, &mut self.numbers, &mut self.out);
    }

    fn pass(&mut self, ms: u64) {
        self.now.elapsed_ms += ms;
        self.run();
    }

    /// First sequence of the last subscription.
    fn subscribed(&self) -> Option<(SubscriptionId, u64)> {
        self.out.iter().rev().find_map(|command| match command {
            Command::Subscribe { subscription, from, .. } => Some((*subscription, *from)),
            _ => None,
        })
    }

    fn message(&self, sequence: u64) -> Delivered {
        let record = self.log.at(sequence).clone();
        Delivered {
            subscription: self.subscribed().unwrap().0,
            incarnation: BORN,
            sequence,
            time_ms: record.time_ms,
            bytes: record.bytes,
        }
    }

    fn deliver(&mut self, message: &Delivered) -> Taken {
        let known = (message.sequence <= self.received && message.sequence > 0)
            .then(|| entry_hash(self.log.at(message.sequence)));
        let at = self.at();
        let taken = self.follower.delivered(message, at, known, self.now, &mut self.out);
        self.received += u64::from(taken == Taken::Next);
        taken
    }

    /// Answers the last read.
    fn figures(&mut self, first: u64, last: u64) -> Option<Finding> {
        let info = StreamInfo { incarnation: BORN, first, last, bytes: 0 };
        self.answer(StreamOutcome::Is(info))
    }

    fn answer(&mut self, outcome: StreamOutcome) -> Option<Finding> {
        let read = self.out.iter().rev().find_map(|command| match command {
            Command::ReadStream { read, .. } => Some(*read),
            _ => None,
        });
        self.follower.read(read.unwrap(), outcome, self.received, self.now, &mut self.out)
    }
}

#[test]
fn takes_each_entry_once_and_in_order() {
    let mut rig = Rig::new(4);
    assert_eq!(rig.subscribed().unwrap().1, 1);
    for (sequence, taken) in [(1, Taken::Next), (1, Taken::Nothing), (2, Taken::Next), (4, Taken::Nothing)] {
        assert_eq!(rig.deliver(&rig.message(sequence)), taken, "{sequence}");
    }
    // A gap: asked for again, one entry early.
    rig.pass(AGAIN_MS);
    assert_eq!(rig.subscribed().unwrap().1, 2);
    for (sequence, taken) in [(2, Taken::Nothing), (3, Taken::Next), (4, Taken::Next)] {
        assert_eq!(rig.deliver(&rig.message(sequence)), taken, "{sequence}");
    }
}

#[test]
fn messages_of_an_older_subscription_are_none() {
    let mut rig = Rig::new(2);
    let old = rig.message(1);
    assert!(rig.follower.ended(old.subscription));
    rig.pass(AGAIN_MS);
    assert_eq!(rig.deliver(&old), Taken::Nothing);
    assert_eq!(rig.deliver(&rig.message(1)), Taken::Next);
}

#[test]
fn a_stream_made_anew_is_noticed() {
    let mut rig = Rig::new(2);
    let other = Delivered { incarnation: Incarnation(6), ..rig.message(1) };
    assert_eq!(rig.deliver(&other), Taken::Stop(Stop::StreamAnew));
    let info = StreamInfo { incarnation: Incarnation(6), first: 1, last: 9, bytes: 0 };
    assert_eq!(rig.answer(StreamOutcome::Is(info)), Some(Finding::Stop(Stop::StreamAnew)));
}

#[test]
fn another_entry_under_a_known_sequence_is_noticed() {
    let mut rig = Rig::new(3);
    rig.deliver(&rig.message(1));
    rig.deliver(&rig.message(2));
    let other = Delivered { bytes: rig.message(3).bytes, ..rig.message(2) };
    assert_eq!(rig.deliver(&other), Taken::Stop(Stop::StreamBehind));
}

#[test]
fn a_damaged_entry_is_asked_for_again_and_then_stops() {
    let mut rig = Rig::new(1);
    for time in 0..=DAMAGED_MAX {
        let damaged = Delivered { bytes: (*b"damaged").into(), ..rig.message(1) };
        let expected = if time < DAMAGED_MAX { Taken::Nothing } else { Taken::Stop(Stop::EntryDamaged) };
        assert_eq!(rig.deliver(&damaged), expected);
        rig.pass(AGAIN_MS);
    }
}

#[test]
fn a_silent_consumer_is_made_anew() {
    let mut rig = Rig::new(3);
    let (silent, _) = rig.subscribed().unwrap();
    assert_eq!(rig.figures(1, 3), Some(Finding::Sound), "it may be on its way");
    rig.pass(READ_MS);
    assert_eq!(rig.figures(1, 3), Some(Finding::Silent(silent)));
    rig.pass(1);
    assert_ne!(rig.subscribed().unwrap().0, silent);
}

#[test]
fn an_entry_that_was_purged_is_found() {
    let mut rig = Rig::new(1);
    rig.deliver(&rig.message(1));
    assert_eq!(rig.figures(2, 9), Some(Finding::Sound));
    rig.pass(READ_MS);
    assert_eq!(rig.figures(3, 9), Some(Finding::NextPurged));
}

#[test]
fn figures_are_compared_with_what_was_there_when_they_were_asked_for() {
    let mut rig = Rig::new(3);
    // Asked before anything was received, answered after.
    rig.deliver(&rig.message(1));
    assert_eq!(rig.figures(1, 0), Some(Finding::Sound));
    assert_eq!((rig.follower.behind_since_ms, rig.follower.end_ms()), (None, None));
    rig.follower.synced(0);
    assert_eq!(rig.follower.end_ms(), Some(1_000));
}

#[test]
fn a_replica_has_what_there_was_at_the_last_end_that_it_has_reached() {
    let mut rig = Rig::new(5);
    for last in [2, 3, 5] {
        rig.figures(1, last);
        rig.pass(READ_MS);
    }
    for (synced, end_ms) in [(1, None), (2, Some(1_000)), (4, Some(3_000)), (5, Some(5_000))] {
        rig.follower.synced(synced);
        assert_eq!(rig.follower.end_ms(), end_ms);
    }
}

#[test]
fn a_stream_that_is_behind_is_believed_to_be_only_after_a_while() {
    let mut rig = Rig::new(3);
    (1..=3).for_each(|sequence| {
        rig.deliver(&rig.message(sequence));
    });
    let mut last = rig.figures(1, 3);
    let mut waited = 0;
    while last == Some(Finding::Sound) {
        rig.pass(READ_MS);
        waited += READ_MS;
        last = rig.figures(1, 2);
    }
    assert_eq!((last, waited), (Some(Finding::Stop(Stop::StreamBehind)), DOUBT_MS + READ_MS));
}

#[test]
fn nothing_is_taken_while_a_stream_seems_behind_and_then_it_is_compared() {
    let mut rig = Rig::new(4);
    (1..=3).for_each(|sequence| {
        rig.deliver(&rig.message(sequence));
    });
    rig.figures(1, 3);
    rig.pass(READ_MS);
    let next = rig.message(4);
    assert_eq!(rig.figures(1, 2), Some(Finding::Sound));
    assert_eq!(rig.deliver(&next), Taken::Nothing);
    rig.pass(READ_MS);
    assert_eq!(rig.figures(1, 4), Some(Finding::Sound));
    rig.pass(1);
    assert_eq!(rig.subscribed().unwrap().1, 3);
    let other = Delivered { bytes: rig.message(2).bytes, ..rig.message(3) };
    assert_eq!(rig.deliver(&other), Taken::Stop(Stop::StreamBehind));
}

#[test]
fn a_stream_that_is_gone_is_believed_to_be_only_after_a_while() {
    let mut rig = Rig::new(1);
    assert_eq!(rig.answer(StreamOutcome::Absent), Some(Finding::Sound));
    rig.pass(READ_MS);
    assert_eq!(rig.figures(1, 0), Some(Finding::Sound));
    for _ in 0..DOUBT_MS / READ_MS {
        rig.pass(READ_MS);
        assert_eq!(rig.answer(StreamOutcome::Absent), Some(Finding::Sound));
    }
    rig.pass(READ_MS);
    assert_eq!(rig.answer(StreamOutcome::Absent), Some(Finding::Stop(Stop::StreamGone)));
}

#[test]
fn a_doubt_compares_from_where_it_says() {
    let mut rig = Rig::new(3);
    (1..=3).for_each(|sequence| {
        rig.deliver(&rig.message(sequence));
    });
    rig.follower.verify(2, &mut rig.out);
    rig.pass(AGAIN_MS);
    assert_eq!(rig.subscribed().unwrap().1, 2);
}

#[test]
fn a_replica_is_as_fresh_as_figures_say_and_ticks_bear_out() {
    let mut rig = Rig::new(3);
    (1..=3).for_each(|sequence| {
        rig.deliver(&rig.message(sequence));
    });
    rig.figures(1, 3);
    rig.follower.synced(3);
    assert_eq!((rig.follower.end_ms(), rig.follower.fresh_ms()), (Some(1_000), None));
    rig.follower.ticked(3, Some(900));
    for _ in 0..10 {
        // A leader that is cut off.
        rig.pass(READ_MS);
        rig.figures(1, 3);
        rig.follower.synced(3);
    }
    assert_eq!((rig.follower.end_ms(), rig.follower.fresh_ms()), (Some(21_000), Some(900)));
    assert!(rig.follower.lacks_pulse(rig.now));
}
