//! A node of the trail, driven by hand.

mod bench;
mod copies;
mod doors;
mod epochs;
mod leadership;
mod refusals;

use self::bench::*;
use super::*;
use crate::command::Command;
use crate::event::{Event, PublishOutcome, RecordKey, RecordOutcome};
use crate::happened::Stop;
use crate::ids::Moment;
use crate::trail::message::TrailMessage;

#[test]
fn a_node_that_makes_no_stream_waits_until_there_is_one() {
    let mut bench = Bench::begin(|settings| (settings.makes_stream, settings.may_lead) = (false, false));
    bench.tell(TrailEvent::Restored(None));
    bench.common(Event::RecordRead(RecordKey::Trail, RecordOutcome::Absent));
    bench.absent();
    bench.at(500);
    assert_eq!(bench.node.view(bench.moment()).trail, None);
    bench.at(1_000);
    bench.figures(1, 0, 0);
    assert_eq!(bench.node.view(bench.moment()).trail, Some(TrailId { epoch: 1, incarnation: BORN }));
    let makes = |command: &TrailCommand| matches!(command, TrailCommand::Common(Command::MakeStream { .. }));
    assert!(!bench.out.iter().any(makes));
}

#[test]
fn an_alarm_is_answered_for_and_acted_upon_when_the_trail_has_it() {
    let mut bench = Bench::leader();
    bench.hand_over(A);
    let (publish, expected, _) = bench.published();
    assert_eq!((expected, bench.sent(), bench.told()), (Some(1), vec![], vec!["Full".to_owned()]));
    bench.stored(publish, 2);
    let trail = TrailId { epoch: 1, incarnation: BORN };
    assert_eq!(bench.sent(), [TrailMessage::Recorded { trail, alarms: vec![as_given(A)] }]);
    assert_eq!(bench.told(), ["recorded"]);
    // A door that did not hear it asks again.
    bench.hand_over(A);
    assert_eq!(bench.sent(), [TrailMessage::Recorded { trail, alarms: vec![as_given(A)] }]);
}

#[test]
fn a_newer_version_of_an_alarm_is_not_answered_for_with_an_older_one() {
    let mut bench = Bench::leader();
    bench.hand_over(A);
    let (publish, ..) = bench.published();
    let newer = Alarm { id: A, bytes: vec![2], unrecorded: false, note: Vec::new() };
    // A desk that takes it as new, and one that has nothing to add to what it has.
    bench.node.desk_mut().recorded.clear();
    bench.receive(TrailMessage::Alarm(newer.clone()));
    bench.stored(publish, 2);
    assert_eq!(bench.sent(), [], "the group has the older one");
    bench.node.desk_mut().recorded.push(A);
    bench.receive(TrailMessage::Alarm(newer.clone()));
    let trail = TrailId { epoch: 1, incarnation: BORN };
    let alarms = vec![newer.version()];
    assert_eq!(bench.sent(), [TrailMessage::Recorded { trail, alarms }]);
}

#[test]
fn an_alarm_of_which_the_trail_has_an_older_version_takes_no_room_from_others() {
    let mut bench = Bench::new(|settings| settings.desk_max = 1);
    bench.lead();
    bench.hand_over(A);
    let (publish, ..) = bench.published();
    bench.node.desk_mut().recorded.clear();
    let newer = Alarm { id: A, bytes: vec![2], unrecorded: false, note: Vec::new() };
    bench.receive(TrailMessage::Alarm(newer));
    bench.stored(publish, 2);
    // Its door ends, and hands nothing over again.
    bench.hand_over(AlarmId(71));
    assert_eq!(bench.sent(), []);
    assert_eq!(bench.node.view(bench.moment()).unrecorded, 1);
}

#[test]
fn an_alarm_that_says_more_than_an_incident_that_is_over_comes_again_under_a_new_id() {
    let mut bench = Bench::leader();
    bench.node.desk_mut().over.push(A);
    bench.hand_over(A);
    assert_eq!(bench.sent(), [TrailMessage::Over(as_given(A))]);
    assert_eq!(bench.node.view(bench.moment()).unrecorded, 0);

    let mut bench = Bench::new(|_| {});
    bench.deliver_claim(OTHER, 4, 0);
    bench.alarm(70);
    bench.sent();
    bench.receive(TrailMessage::Over(AlarmVersion { alarm: A, hash: 1 }));
    assert_eq!(bench.sent().len(), 1, "this door has something else, and hands it over");
    assert_eq!(bench.node.view(bench.moment()).waiting, 1);
    bench.receive(TrailMessage::Over(as_given(A)));
    bench.receive(TrailMessage::Over(as_given(A)));
    assert_eq!(bench.door(), ["reopen 70"], "once");
    assert_eq!(bench.node.view(bench.moment()).waiting, 0);
}

#[test]
fn a_desk_hears_when_its_own_store_has_what_is_recorded() {
    let mut bench = Bench::leader();
    bench.hand_over(A);
    let (publish, _, bytes) = bench.published();
    bench.stored(publish, 2);
    assert_eq!(bench.told(), ["Full", "recorded"]);
    bench.deliver(bytes);
    assert!(bench.told().is_empty());
    bench.tell(TrailEvent::Saved(Ok(())));
    assert_eq!(bench.told(), ["saved 2"]);
}

#[test]
fn a_desk_hears_what_its_store_has_while_more_is_on_its_way() {
    let mut bench = Bench::leader();
    for (alarm, sequence) in [(A, 2), (AlarmId(71), 3)] {
        bench.hand_over(alarm);
        let (publish, _, bytes) = bench.published();
        bench.stored(publish, sequence);
        bench.deliver(bytes);
    }
    bench.told();
    bench.tell(TrailEvent::Saved(Ok(())));
    assert_eq!(bench.told(), ["saved 2"], "a desk that is never idle lets go all the same");
    bench.tell(TrailEvent::Saved(Ok(())));
    assert_eq!(bench.told(), ["saved 3"]);
}

#[test]
fn what_is_not_recorded_in_100_ms_is_called_about_all_the_same() {
    let mut bench = Bench::leader();
    bench.hand_over(A);
    bench.at(3_099);
    assert_eq!(bench.sent(), []);
    bench.at(3_100);
    assert_eq!(bench.sent(), [TrailMessage::Called { alarm: A }]);
    assert_eq!(bench.told(), ["Full", "release 70"]);
}

#[test]
fn a_leader_that_sees_no_entry_of_its_own_makes_first_attempts_only() {
    let mut bench = Bench::leader();
    bench.at(4_000);
    let (publish, ..) = bench.published();
    bench.common(Event::Published(publish, PublishOutcome::NoAnswer));
    bench.at(5_999);
    assert_eq!(bench.told(), ["Full"]);
    // The claim was sent 3 s ago, and others claim by now.
    assert_eq!(bench.node.duty(Moment { elapsed_ms: 6_000, wall_ms: 0 }), Duty::FirstOnly);
    bench.at(6_000);
    assert_eq!(bench.told(), ["FirstOnly"]);
    let deed = DeedId(3);
    bench.sent();
    bench.receive(TrailMessage::Deed { deed, bytes: vec![1] });
    assert_eq!(bench.sent(), [TrailMessage::DeedUnavailable { deed }]);
}

#[test]
fn a_draft_that_no_node_could_read_is_not_appended() {
    let mut bench = Bench::leader();
    bench.node.desk_mut().excess = GROUP_MAX;
    bench.out.clear();
    bench.hand_over(A);
    let appends = |command: &TrailCommand| matches!(command, TrailCommand::Common(Command::Publish { .. }));
    assert!(!bench.out.iter().any(appends), "{:?}", bench.out);
    assert!(bench.out.iter().any(|command| matches!(command, TrailCommand::Tell(TrailHappened::TooLarge))));
    assert_eq!(bench.told(), ["Full", "Standby", "stand down"]);
}

#[test]
fn a_refused_append_that_is_its_own_counts_as_stored() {
    let mut bench = Bench::leader();
    bench.hand_over(A);
    let (publish, _, bytes) = bench.published();
    bench.common(Event::Published(publish, PublishOutcome::WrongLast { last: 2 }));
    bench.at(bench.now_ms + 100);
    bench.sent();
    bench.deliver(bytes.clone());
    assert_eq!(bench.sent(), [], "entries before it may be others");
    bench.at(bench.now_ms + 100);
    (bench.out, bench.last) = (Vec::new(), 0);
    bench.deliver(bench.first.clone());
    bench.deliver(bytes);
    assert!(matches!(bench.sent()[..], [TrailMessage::Recorded { .. }]));
    assert!(bench.node.view(bench.moment()).duty == Duty::Full);
}

#[test]
fn an_entry_that_was_stored_behind_other_entries_than_its_writer_had_is_not_believed() {
    let mut bench = Bench::leader();
    bench.at(3_100);
    bench.hand_over(A);
    let (publish, _, bytes) = bench.published();
    bench.common(Event::Published(publish, PublishOutcome::NoAnswer));
    // Nothing for seconds: the brokers lost the claim, others filled its place, and the group was taken behind that.
    bench.at(6_500);
    bench.out.clear();
    let old = bench.subscription;
    bench.deliver(bytes.clone());
    assert_eq!(bench.sent(), [], "a subscription from before that never reads the claim again");
    assert_ne!(bench.subscription, old);
    bench.last = 0;
    bench.deliver_claim(OTHER, 4, 0);
    assert_eq!(bench.node.view(bench.moment()).stopped, Some(Stop::StreamBehind));
    assert_eq!(bench.sent(), []);
    assert!(!bench.told().contains(&"recorded".to_owned()));
}

#[test]
fn an_entry_that_is_read_long_after_the_one_before_is_believed_when_that_one_is_as_it_was() {
    let mut bench = Bench::leader();
    bench.at(3_100);
    let claim = bench.first.clone();
    bench.hand_over(A);
    let (publish, _, bytes) = bench.published();
    bench.common(Event::Published(publish, PublishOutcome::NoAnswer));
    bench.at(6_500);
    bench.deliver(bytes.clone());
    bench.last = 0;
    bench.deliver(claim);
    bench.deliver(bytes);
    assert!(matches!(bench.sent()[..], [.., TrailMessage::Recorded { .. }]));
}

#[test]
fn an_entry_that_stands_where_an_own_one_was_stored_breaks_the_trail() {
    let mut bench = Bench::leader();
    bench.at(4_000);
    let (publish, ..) = bench.published();
    bench.stored(publish, 2);
    bench.deliver_claim(OTHER, 2_000_000, 0);
    let view = bench.node.view(bench.moment());
    assert_eq!((view.stopped, view.duty), (Some(Stop::StreamBehind), Duty::Alone));
    assert_eq!(bench.told(), ["Full", "Alone"], "its desk has more than the store");
}

#[test]
fn a_node_whose_trail_is_broken_calls_about_what_its_store_owes() {
    let mut bench = Bench::new(|_| {});
    bench.deliver_claim(OTHER, 4, 0);
    let id = EntryId { node: OTHER, run: 9, number: 5 };
    let body = TrailBody::Group { alarms: vec![as_given(A)], deeds: vec![], content: b"drafts" };
    bench.deliver(TrailEntry { epoch: 1, id, term: Term(4), body }.write());
    bench.last = 0;
    bench.deliver_claim(OTHER, 5, 0);
    assert!(bench.told().is_empty(), "the store has not all yet");
    bench.tell(TrailEvent::Saved(Ok(())));
    assert_eq!(bench.told(), ["recall openings", "Alone"]);
}

#[test]
fn a_node_that_holds_back_for_its_settings_calls_about_what_its_store_owes_until_somebody_leads() {
    let mut bench = Bench::new(|settings| settings.settings_hash = 2);
    bench.deliver_claim(OTHER, 4, 1);
    let id = EntryId { node: OTHER, run: 9, number: 5 };
    let body = TrailBody::Group { alarms: vec![as_given(A)], deeds: vec![], content: b"drafts" };
    bench.deliver(TrailEntry { epoch: 1, id, term: Term(4), body }.write());
    bench.tell(TrailEvent::Saved(Ok(())));
    bench.at(2_999);
    assert!(bench.told().is_empty());
    bench.at(3_000);
    assert_eq!(bench.told(), ["recall openings", "Alone"]);
    bench.at(6_500);
    assert!(bench.told().is_empty(), "once");
    bench.deliver_claim(OTHER, 5, 1);
    assert_eq!(bench.told(), ["Standby", "stand down"]);
    bench.tell(TrailEvent::LeadAsked);
    bench.at(9_600);
    let (publish, expected, bytes) = bench.published();
    assert_eq!(expected, Some(3));
    bench.stored(publish, 4);
    bench.deliver(bytes);
    assert_eq!(bench.told(), ["Full"]);
}

#[test]
fn a_deed_is_done_when_the_trail_has_it_or_refused_or_unavailable() {
    let mut bench = Bench::leader();
    bench.receive(TrailMessage::Deed { deed: DeedId(1), bytes: vec![] });
    let answer = b"empty".to_vec();
    assert_eq!(bench.sent(), [TrailMessage::DeedRefused { deed: DeedId(1), answer }]);
    // A copy of it comes late, when the desk would take it.
    bench.receive(TrailMessage::Deed { deed: DeedId(1), bytes: vec![1] });
    assert_eq!(bench.sent(), []);
    bench.receive(TrailMessage::Deed { deed: DeedId(2), bytes: vec![1] });
    let (publish, ..) = bench.published();
    assert_eq!(bench.sent(), []);
    // It waits behind the first, and comes twice.
    bench.receive(TrailMessage::Deed { deed: DeedId(3), bytes: vec![1] });
    bench.receive(TrailMessage::Deed { deed: DeedId(3), bytes: vec![1] });
    assert_eq!(bench.sent(), []);
    bench.stored(publish, 2);
    assert_eq!(bench.sent(), [TrailMessage::DeedDone { deed: DeedId(2) }]);
    bench.receive(TrailMessage::Deed { deed: DeedId(2), bytes: vec![1] });
    assert_eq!(bench.sent(), [TrailMessage::DeedDone { deed: DeedId(2) }], "a copy of it comes late");

    let mut bench = Bench::new(|_| {});
    bench.deliver_claim(OTHER, 4, 0);
    bench.tell(TrailEvent::Deed { deed: DeedId(3), bytes: vec![1] });
    bench.at(2_000);
    let answered = bench
        .out
        .iter()
        .any(|command| matches!(command, TrailCommand::AnswerDeed { outcome: DeedOutcome::Unavailable, .. }));
    assert!(answered);
}

#[test]
fn a_run_goes_on_from_the_mark_of_its_store() {
    let mut bench = Bench::leader();
    bench.hand_over(A);
    let (publish, _, bytes) = bench.published();
    bench.stored(publish, 2);
    bench.deliver(bytes.clone());
    let mark = bench.out.iter().find_map(|command| match command {
        TrailCommand::Save { mark, groups } if !groups.is_empty() => Some(*mark),
        _ => None,
    });
    let mark = mark.expect("the group is saved");
    assert_eq!((mark.sequence, mark.running_hash), (2, bench.node.view(bench.moment()).running_hash));

    let mut other = Bench::new(|settings| settings.node = OTHER);
    other.node = TrailNode::new(TrailSettings::new(OTHER, 0), Notes::default());
    (other.out, other.last) = (Vec::new(), 1);
    other.tell(TrailEvent::Restored(Some(mark.write())));
    other.common(Event::Woken);
    // The entry of the mark comes first, and is compared.
    other.deliver(bytes);
    assert_eq!(other.node.view(other.moment()).stopped, None);
    other.last = 1;
    other.deliver_claim(OWN, 3, 0);
    assert_eq!(other.node.view(other.moment()).stopped, Some(Stop::StreamBehind));
}
