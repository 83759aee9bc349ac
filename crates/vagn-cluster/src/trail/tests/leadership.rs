//! Who leads: claims, farewells, leaders that are deposed, and clocks that are wrong.

use super::super::*;
use super::bench::*;
use crate::command::Command;
use crate::event::{Event, PublishOutcome};
use crate::happened::Stop;
use crate::ids::NodeId;
use crate::trail::message::TrailMessage;

#[test]
fn a_claim_that_is_stored_makes_a_leader_with_its_own_numbers() {
    let mut bench = Bench::leader();
    assert_eq!(bench.told(), ["Full"]);
    let term = bench.node.view(bench.moment()).term;
    assert_eq!(term, Term(1_003_000));
    assert_eq!(bench.node.desk().numbers, Some(term.numbers()));
}

#[test]
fn a_leader_behind_whose_entry_another_claimed_stops_at_once() {
    let mut bench = Bench::leader();
    bench.at(3_200);
    bench.hand_over(A);
    let (publish, ..) = bench.published();
    bench.common(Event::Published(publish, PublishOutcome::WrongLast { last: 2 }));
    assert!(bench.told().iter().all(|told| told == "Full"), "it may be its own");
    bench.deliver_claim(OTHER, 2_000_000, 0);
    assert_eq!(bench.told(), ["Standby", "stand down"]);
    assert_eq!(bench.sent(), []);
    assert_eq!(bench.node.view(bench.moment()).leader, Some(OTHER));
}

#[test]
fn an_entry_of_a_leader_that_was_deposed_counts_for_nothing() {
    let mut bench = Bench::new(|_| {});
    bench.alarm(7);
    bench.deliver_claim(OTHER, 4, 0);
    assert_eq!(bench.node.view(bench.moment()).led_ms, Some(0));
    bench.deliver_claim(OWN, 5, 0);
    let id = EntryId { node: OTHER, run: 9, number: 5 };
    bench.at(200);
    let body = || TrailBody::Group { alarms: vec![as_given(AlarmId(7))], deeds: vec![], content: b"drafts" };
    bench.deliver(TrailEntry { epoch: 1, id, term: Term(4), body: body() }.write());
    bench.deliver(TrailEntry { epoch: 2, id, term: Term(5), body: body() }.write());
    assert!(bench.door().iter().all(|asked| !asked.starts_with("let go")));
    let view = bench.node.view(bench.moment());
    assert_eq!((view.unsaved, view.led_ms), (0, Some(0)), "it is no sign of a leader either");
    bench.deliver(TrailEntry { epoch: 1, id, term: Term(5), body: body() }.write());
    assert_eq!(bench.door(), ["let go 7"]);
    assert_eq!(bench.node.view(bench.moment()).led_ms, Some(200));
}

#[test]
fn a_claim_whose_place_an_entry_without_effect_has_is_made_anew_behind_it() {
    let mut bench = Bench::new(|_| {});
    bench.deliver_claim(OTHER, 4, 0);
    bench.at(3_000);
    let (publish, expected, _) = bench.published();
    assert_eq!(expected, Some(1));
    bench.common(Event::Published(publish, PublishOutcome::WrongLast { last: 2 }));
    bench.deliver_claim(OTHER, 3, 0);
    bench.at(4_500);
    assert_eq!(bench.published().1, Some(2));
}

#[test]
fn a_node_that_missed_a_claim_finds_it_by_the_entries_of_the_next_leader() {
    let renewal = TrailBody::Renewal { settings_hash: 0, sequence: 1, running_hash: 7 };
    let group = TrailBody::Group { alarms: Vec::new(), deeds: Vec::new(), content: b"drafts" };
    for body in [renewal, group] {
        let mut bench = Bench::new(|_| {});
        bench.deliver_claim(OTHER, 4, 0);
        let id = EntryId { node: OTHER, run: 9, number: 2 };
        let entry = |term| TrailEntry { epoch: 1, id, term: Term(term), body: body.clone() }.write();
        bench.deliver(entry(3));
        assert_eq!(bench.node.view(bench.moment()).stopped, None, "of a leader that was deposed");
        bench.deliver(entry(6));
        assert_eq!(bench.node.view(bench.moment()).stopped, Some(Stop::HashDiffers));
    }
}

#[test]
fn a_node_whose_store_is_behind_does_not_claim() {
    let mut bench = Bench::new(|_| {});
    bench.deliver_claim(OTHER, 4, 0);
    let id = EntryId { node: OTHER, run: 9, number: 5 };
    let body = TrailBody::Group { alarms: vec![as_given(A)], deeds: vec![], content: b"drafts" };
    bench.deliver(TrailEntry { epoch: 1, id, term: Term(4), body }.write());
    bench.at(3_000);
    let claims = |bench: &Bench| {
        bench.out.iter().any(|command| matches!(command, TrailCommand::Common(Command::Publish { .. })))
    };
    assert!(!claims(&bench));
    bench.tell(TrailEvent::Saved(Ok(())));
    assert!(claims(&bench));
}

#[test]
fn a_leader_that_stops_records_what_its_desk_has_and_lets_others_claim() {
    let mut bench = Bench::leader();
    bench.hand_over(A);
    let (publish, _, bytes) = bench.published();
    bench.hand_over(AlarmId(71));
    bench.tell(TrailEvent::StopAsked);
    bench.stored(publish, 2);
    bench.deliver(bytes);
    let (publish, _, bytes) = bench.published();
    let last = TrailEntry::read(&bytes).unwrap();
    assert!(matches!(last.body, TrailBody::Group { .. }), "what came before goes first: {last:?}");
    bench.stored(publish, 3);
    let (publish, expected, bytes) = bench.published();
    let last = TrailEntry::read(&bytes).unwrap();
    assert!(matches!(last.body, TrailBody::Farewell { sequence: 2, .. }), "{last:?}");
    assert_eq!(expected, Some(3));
    bench.told();
    assert_eq!(bench.node.duty(bench.moment()), Duty::FirstOnly, "another one may lead by now");
    bench.stored(publish, 4);
    assert_eq!(bench.node.duty(bench.moment()), Duty::Standby);
    assert_eq!(bench.told(), ["Standby", "stand down"]);
    bench.out.clear();
    bench.at(60_000);
    let appends =
        bench.out.iter().any(|command| matches!(command, TrailCommand::Common(Command::Publish { .. })));
    assert!(!appends, "it claims no more");
}

#[test]
fn a_node_claims_at_once_when_the_leader_said_farewell() {
    let mut bench = Bench::new(|_| {});
    bench.deliver_claim(OTHER, 4, 0);
    let leader = |bench: &Bench| bench.node.view(bench.moment()).leader;
    assert_eq!(leader(&bench), Some(OTHER));
    bench.at(1_000);
    bench.out.clear();
    let id = EntryId { node: OTHER, run: 9, number: 2 };
    let body = TrailBody::Farewell { settings_hash: 0, sequence: 0, running_hash: 0 };
    bench.deliver(TrailEntry { epoch: 1, id, term: Term(4), body }.write());
    let (_, expected, bytes) = bench.published();
    let claim = TrailEntry::read(&bytes).unwrap();
    assert!(matches!(claim.body, TrailBody::Claim { .. }), "{claim:?}");
    assert_eq!((expected, leader(&bench)), (Some(2), None));
    // Nobody is there to hand it to.
    bench.alarm(70);
    assert_eq!(bench.sent(), []);
}

#[test]
fn a_farewell_of_a_leader_that_was_deposed_counts_for_nothing() {
    let mut bench = Bench::new(|_| {});
    bench.deliver_claim(OTHER, 4, 0);
    bench.out.clear();
    let id = EntryId { node: OWN, run: 9, number: 2 };
    let body = TrailBody::Farewell { settings_hash: 0, sequence: 0, running_hash: 0 };
    bench.deliver(TrailEntry { epoch: 1, id, term: Term(3), body }.write());
    assert_eq!(bench.node.view(bench.moment()).leader, Some(OTHER));
    assert!(bench.out.iter().any(|one| matches!(one, TrailCommand::Tell(TrailHappened::Void))));
}

#[test]
fn a_node_that_may_not_lead_does_not_claim_and_hands_alarms_over() {
    let mut bench = Bench::new(|settings| settings.may_lead = false);
    bench.out.clear();
    bench.at(60_000);
    let appends =
        bench.out.iter().any(|command| matches!(command, TrailCommand::Common(Command::Publish { .. })));
    assert!(!appends);
    bench.deliver_claim(OTHER, 4, 5);
    assert!(bench.node.view(bench.moment()).differs, "it says so all the same");
    bench.alarm(70);
    assert!(matches!(bench.sent()[..], [TrailMessage::Alarm(_)]));
    bench.deliver_claim(OTHER, 5, 0);
    assert!(!bench.node.view(bench.moment()).differs);
}

#[test]
fn a_node_whose_clock_is_wrong_leaves_the_claim_to_others_while_they_are_there() {
    const DAY_MS: i64 = 86_400_000;
    let mut bench = Bench::new(|_| {});
    bench.others_are_behind(&[DAY_MS, DAY_MS]);
    let clocks = bench.node.view(bench.moment()).clocks;
    assert_eq!(clocks, Clocks { ahead_ms: DAY_MS, wrong: Some((OWN, DAY_MS)) });
    let claims = |bench: &mut Bench| {
        let is_publish = |each: TrailCommand| matches!(each, TrailCommand::Common(Command::Publish { .. }));
        bench.out.drain(..).any(is_publish)
    };
    bench.at(5_999);
    assert!(!claims(&mut bench), "others claim after 3 s of silence");
    bench.at(6_000);
    assert!(claims(&mut bench), "none did");

    // All others are gone, or it is one of them that is wrong.
    for behind_ms in [&[][..], &[DAY_MS], &[0, DAY_MS]] {
        let mut bench = Bench::new(|_| {});
        bench.others_are_behind(behind_ms);
        bench.at(3_000);
        assert!(claims(&mut bench), "{behind_ms:?}");
    }
}

#[test]
fn a_leader_whose_clock_is_wrong_gives_its_leadership_away_and_not_again_at_once() {
    let mut bench = Bench::leader();
    bench.others_are_behind(&[0, 86_400_000]);
    bench.at(4_000);
    assert!(matches!(bench.append(), TrailBody::Renewal { .. }), "another one is wrong");
    bench.others_are_behind(&[86_400_000, 86_400_000]);
    bench.at(4_001);
    assert!(matches!(bench.append(), TrailBody::Farewell { .. }));
    assert!(!bench.node.lead.leads());
    bench.at(7_000);
    assert_eq!(bench.node.duty(bench.moment()), Duty::Standby, "it leaves them 3 s");
    bench.at(7_001);
    assert!(matches!(bench.append(), TrailBody::Claim { .. }), "none of them can lead");
    bench.others_are_behind(&[86_400_000, 86_400_000]);
    bench.at(8_001);
    assert!(matches!(bench.append(), TrailBody::Renewal { .. }), "so it stays");
    bench.at(64_000);
    bench.others_are_behind(&[86_400_000, 86_400_000]);
    assert!(matches!(bench.append(), TrailBody::Renewal { .. }));
    bench.at(64_001);
    assert!(matches!(bench.append(), TrailBody::Farewell { .. }), "by now another one may be able to lead");
}

/// Returns the moment at which a node with settings 2 claims, where its leader had settings 1, these nodes are known, and these are heard each 2 s with these settings:
/// 0 if it does not within 30 s.
fn claims_at(known: &[u64], heard: &[(u64, u64)]) -> u64 {
    let mut bench = Bench::new(|settings| settings.settings_hash = 2);
    bench.tell(TrailEvent::Known(known.iter().copied().map(NodeId).collect()));
    bench.deliver_claim(OTHER, 4, 1);
    for now_ms in (500..30_000).step_by(500) {
        bench.at(now_ms);
        if now_ms % 2_000 == 0 {
            bench.wait(heard);
        }
        let is_publish = |one: TrailCommand| matches!(one, TrailCommand::Common(Command::Publish { .. }));
        if bench.out.drain(..).any(is_publish) {
            return now_ms;
        }
    }
    0
}

#[test]
fn a_node_claims_with_new_settings_once_most_nodes_have_them_and_none_has_those_of_before() {
    assert_eq!(claims_at(&[1, 2, 3], &[(2, 2), (3, 2)]), 6_000, "at its second look");
    assert_eq!(claims_at(&[1, 2, 3], &[(3, 2)]), 6_000, "the leader before is gone");
    assert_eq!(claims_at(&[1], &[]), 6_000, "there is no other one");
    assert_eq!(claims_at(&[1, 2, 3], &[(2, 1), (3, 2)]), 0, "the leader before is there with its settings");
    assert_eq!(claims_at(&[1, 2, 3], &[(3, 1)]), 0);
    assert_eq!(claims_at(&[1, 2, 3], &[]), 0, "cut off, or the only one that was changed");
    assert_eq!(claims_at(&[1, 2, 3, 4], &[(2, 2)]), 0, "half of them is not most");
    assert_eq!(claims_at(&[1, 2, 3], &[(2, 3), (3, 3)]), 0, "each has others");
}

#[test]
fn a_node_says_that_it_claims_with_settings_on_which_nodes_agree() {
    let mut bench = Bench::new(|settings| settings.settings_hash = 2);
    bench.deliver_claim(OTHER, 4, 1);
    bench.at(3_000);
    bench.wait(&[(2, 2)]);
    bench.at(6_000);
    let view = bench.node.view(bench.moment());
    assert_eq!(
        view.agreement,
        Agreement { alike: 2, others: 0, known: None },
        "who owns shards is not known"
    );
    bench.tell(TrailEvent::Known(vec![OWN, OTHER]));
    bench.at(9_000);
    let told = |bench: &mut Bench| {
        let told = bench.out.drain(..).filter_map(|command| match command {
            TrailCommand::Tell(told @ (TrailHappened::Differs | TrailHappened::Agreed)) => Some(told),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(told(&mut bench), [TrailHappened::Differs]);
    bench.wait(&[(2, 2)]);
    bench.at(12_000);
    let agreed = |one: &TrailCommand| matches!(one, TrailCommand::Tell(TrailHappened::Agreed));
    assert!(bench.out.iter().any(agreed), "{:?}", bench.out);
    let TrailBody::Claim { settings_hash, .. } = bench.append() else { panic!("no claim") };
    assert_eq!((settings_hash, bench.node.view(bench.moment()).differs), (2, false));
}
