//! What a node shows of the calls that its door makes by itself, until it has them from the trail.

use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;
use vagn_cluster::trail::{DeskState, Taken};
use vagn_flow::clock::Clock;

use super::bench::{Bench, Handed};
use crate::desk::RequestKind;
use crate::id::IncidentId;
use crate::node::refused;
use crate::notifier::NoticeSource;
use crate::notify::notice::Notice;
use crate::office::call_note::{DoorCall, note_of};
use crate::office::deed_form::DeedRefusal;
use crate::office::door_source::DoorSource;
use crate::record::attempt::Outcome;
use crate::record::delivery::Told;
use crate::search::{IncidentQuery, find, look_up};
use crate::show::feed::{FeedItem, Follower};
use crate::tests::setup::{help, offer};
use crate::{DeedError, Filter, IncidentView, RequestOutcome, State};

impl Bench {
    /// A vehicle reports to this node, where no driver is.
    fn call(&self, vehicle: &str) {
        offer(&self.room.lane, &[help(vehicle)]);
        self.room.door.attend(&self.room);
        self.wait(Duration::from_millis(250));
    }

    /// The actor at the door looks after some time.
    fn wait(&self, time: Duration) {
        self.clock.advance(time);
        self.room.door.look(&self.room);
        self.room.door.show(&self.room);
        self.room.lane.announce();
    }

    fn next_call(&self) -> Notice {
        self.room.calls.next_notice().expect("a call is due")
    }

    fn end_call(&self, notice: &Notice, outcome: Outcome) {
        let ended = notice.end(self.clock.now_ms(), Duration::from_millis(5), outcome);
        DoorSource(self.room.clone()).attempted(ended);
        self.room.lane.announce();
    }

    fn listed(&self, limit: usize, after: Option<IncidentId>) -> Vec<IncidentView> {
        let page = find(&self.room.lane, &IncidentQuery { filter: Filter::default(), limit, after });
        assert!(page.complete);
        page.incidents
    }

    fn one(&self) -> IncidentView {
        let mut all = self.listed(10, None);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// Leads, takes an alarm as the door of a node hands it over, and applies the group that records it.
    fn record_of(&mut self, alarm: &Handed, taken: Taken, sequence: u64) {
        assert_eq!(self.take(alarm), taken);
        let group = self.record(sequence).unwrap();
        self.apply(&group, sequence);
    }

    fn gauge(&self, metric: impl Fn(&crate::EmergencyMetrics) -> i64) -> i64 {
        self.room.lane.show();
        metric(&self.room.metrics)
    }
}

/// Returns the changes that a follower has not read yet: word, state and whether it is recorded.
fn changes(follower: &mut Follower) -> Vec<(String, String, bool)> {
    let mut changes = Vec::new();
    while let Some(Some(FeedItem::Event(event))) = follower.next().now_or_never() {
        let event: Value = serde_json::from_str(&event.data).unwrap();
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let incident = &event["incident"];
        changes.push((
            word(&event["change"]),
            word(&incident["state"]),
            incident["recorded"].as_bool().unwrap(),
        ));
    }
    changes
}

fn change(word: &str, state: &str, recorded: bool) -> (String, String, bool) {
    (word.into(), state.into(), recorded)
}

#[test]
fn a_call_of_the_door_is_listed_with_its_attempts_until_the_trail_has_it_under_the_same_id_and_never_twice() {
    let mut node = Bench::new();
    let mut follower = node.room.lane.announcer.feed().since(None);
    node.call("bus 7");
    let shown = node.one();
    assert_eq!((shown.state, shown.recorded, shown.notices.attempts), (State::Open, false, 0));
    assert!(node.room.lane.desk.lock().is_calling_for_help("bus 7"));
    let first = node.next_call();
    node.end_call(&first, Outcome::Refused { status: 503, retry_after_s: None });
    let shown = node.one();
    assert_eq!((shown.state, shown.notices.attempts, shown.notices.unrecorded), (State::Open, 1, true));
    assert_eq!(shown.id, first.key.incident);
    // What an operator reads counts it once, and not among those for which a disk is at fault.
    node.clock.advance(Duration::from_secs(60));
    assert_eq!(node.gauge(|metrics| metrics.incidents_open.get()), 1);
    assert_eq!(node.gauge(|metrics| metrics.incidents_unaccepted.get()), 1);
    assert_eq!(node.gauge(|metrics| metrics.oldest_unaccepted.get()), 60);
    assert_eq!(node.gauge(|metrics| metrics.incidents_unrecorded.get()), 0);
    let again = node.next_call();
    node.end_call(&again, Outcome::Accepted { status: 200 });
    let id = again.key.incident;
    let detail = look_up(&node.room.lane, id).unwrap().unwrap();
    let tried: Vec<_> = detail.ledger.iter().map(|tried| (&*tried.target, tried.outcome.word())).collect();
    assert_eq!(tried, [("county", "refused"), ("county", "accepted")]);
    assert_eq!((detail.incident.state, detail.incident.recorded), (State::Notified, false));
    let told: Vec<_> = detail.trail.iter().map(|entry| (entry.action, entry.seq)).collect();
    assert_eq!(told, [("opened", 0), ("unrecorded", 0), ("escalated", 0), ("notified", 0)]);
    let (open, notified) = ("open", "notified");
    let words = ["opened", "unrecorded"].map(|word| change(word, open, false));
    let mut all = changes(&mut follower);
    assert_eq!(all.split_off(3), [change("notified", notified, false)]);
    assert_eq!((&all[..2], &all[2]), (&words[..], &change("escalated", open, false)));
    // A repeat is shown as well.
    offer(&node.room.lane, &[help("bus 7")]);
    node.room.door.attend(&node.room);
    node.wait(Duration::from_secs(1));
    assert_eq!((node.one().reports, node.one().state), (2, State::Notified));

    // The trail has it, and this node hears so before it has it from there.
    node.room.calls.let_go(id);
    assert_eq!((node.one().id, node.one().recorded), (id, false));
    node.lead(1);
    assert_eq!(node.desk.draft(), None, "a leader recalls what the trail has, and nothing else");
    let alarm = Handed::new(id.as_u128(), "bus 7", 1).more();
    let alarm = alarm.called(&note_of(&[again_attempt(&node, id)]));
    drop(changes(&mut follower));
    node.record_of(&alarm, Taken::Open, 1);
    let shown = node.one();
    assert_eq!((shown.id, shown.state, shown.recorded, shown.reports), (id, State::Notified, true, 2));
    assert_eq!(node.room.calls.unshown(&[(id, 2)]), []);
    node.room.lane.announce_stirred();
    assert_eq!(changes(&mut follower), [change("updated", notified, true)], "it was opened before");
    assert_eq!(node.gauge(|metrics| metrics.incidents_open.get()), 1);
    node.all();
    // What comes from here on is told.
    node.act(id, RequestKind::Resolve).unwrap();
    let group = node.record(2).unwrap();
    node.apply(&group, 2);
    assert_eq!(changes(&mut follower), [change("resolved", "resolved", true)]);
}

/// Returns the attempt that a target has accepted.
fn again_attempt(node: &Bench, id: IncidentId) -> DoorCall {
    let desk = node.room.lane.desk.lock();
    let (_, attempts) = desk.pending(id);
    let attempt = attempts.into_iter().find(|attempt| attempt.outcome.accepted()).unwrap();
    DoorCall { attempt, told: Told::default() }
}

#[test]
fn a_call_that_is_joined_to_another_incident_gives_way_to_that_and_followers_hear_so() {
    let mut node = Bench::new();
    node.lead(1);
    node.record_of(&Handed::new(9, "bus 7", 1), Taken::Open, 1);
    node.call("tram 1");
    node.call("bus 7");
    let called = node.room.lane.desk.lock().called();
    assert_eq!((node.listed(10, None).len(), called.len()), (2, 1), "it belongs to the one that is recorded");
    // Another door took it in before this node knew of the first one.
    let mut other = Bench::new();
    other.call("bus 7");
    let mut follower = other.room.lane.announcer.feed().since(None);
    let id = other.one().id;
    other.lead(1);
    other.record_of(&Handed::new(9, "bus 7", 1), Taken::Open, 1);
    assert_eq!(other.listed(10, None).len(), 2, "nobody knows yet that they are one");
    drop(changes(&mut follower));
    let mine = Handed::new(id.as_u128(), "bus 7", 2).called(b"");
    other.record_of(&mine, Taken::Joined, 2);
    let shown = other.one();
    assert_eq!((shown.id, shown.recorded), (IncidentId::from_u128(9), true));
    let changes = changes(&mut follower);
    assert!(changes.contains(&change("joined", "resolved", true)), "{changes:?}");
    other.room.calls.let_go(id);
    other.wait(Duration::from_secs(1));
    assert_eq!((other.one().id, other.room.calls.count()), (shown.id, 0));
}

#[test]
fn a_person_hears_that_a_leader_does_not_have_yet_what_only_the_door_knows() {
    let node = Bench::new();
    node.call("bus 7");
    let heard = |id| refused(&node.room, id, DeedRefusal::NotFound);
    assert_eq!(heard(node.one().id), Err(DeedError::NotYet));
    assert_eq!(heard(IncidentId::from_u128(9)), Ok(RequestOutcome::NotFound));
}

#[test]
fn what_waits_is_shown_though_this_node_does_not_call_about_it() {
    let node = Bench::new();
    offer(&node.room.lane, &[help("bus 7")]);
    node.room.door.attend(&node.room);
    node.clock.advance(Duration::from_millis(249));
    node.room.door.show(&node.room);
    assert_eq!(node.listed(10, None), []);
    node.clock.advance(Duration::from_millis(1));
    node.room.door.show(&node.room);
    assert_eq!((node.one().recorded, node.one().notices.attempts, node.room.calls.count()), (false, 0, 0));
    assert!(node.room.calls.next_notice().is_none());
}

#[test]
fn a_door_takes_no_room_from_others_by_its_own_calls_and_a_long_list_comes_in_pages() {
    let node = Bench::new();
    // More than may be open.
    for number in 0..120 {
        node.call(&format!("known {number}"));
    }
    assert_eq!((node.room.calls.count(), node.room.door.count()), (120, 120));
    let (mut after, mut ids) = (None, Vec::new());
    loop {
        let page = node.listed(50, after);
        ids.extend(page.iter().map(|incident| incident.id));
        let Some(last) = page.last() else { break };
        after = Some(last.id);
    }
    assert!(ids.len() == 120 && ids.is_sorted_by(|one, next| one > next));
}

#[test]
fn what_the_trail_does_not_name_is_shown_as_long_as_this_node_is_behind() {
    let node = Bench::new();
    node.call("bus 7");
    let id = node.one().id;
    node.room.calls.let_go(id);
    for _ in 0..600 {
        node.clock.advance(Duration::from_secs(1));
        node.room.calls.tidy(7);
    }
    assert_eq!((node.one().id, node.room.calls.count()), (id, 0));
    node.room.calls.tidy(8);
    assert_eq!(node.listed(10, None), []);
}

#[test]
fn a_store_that_a_copy_has_replaced_takes_no_call_out_of_the_list() {
    let (mut node, mut other) = (Bench::new(), Bench::new());
    node.call("bus 7");
    node.call("bus 8");
    let ids: Vec<_> = node.listed(10, None).iter().map(|incident| incident.id).collect();
    other.lead(1);
    other.record_of(&Handed::new(ids[0].as_u128(), "bus 8", 1), Taken::Open, 1);
    node.copy_of(&mut other, 1 << 20, |_| {});
    let shown: Vec<_> = node.listed(10, None).iter().map(|one| (one.id, one.recorded)).collect();
    assert_eq!(shown, [(ids[0], true), (ids[1], false)]);
}
