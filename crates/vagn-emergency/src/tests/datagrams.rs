//! Alarms by datagram that ask for an answer, from a published batch to the answer.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use vagn_otp::testkit::until;
use vagn_wire::{Report, StoredAck};

use super::gated::Gated;
use super::setup::*;
use super::target::TestTarget;
use crate::Targets;
use vagn_flow::batch::BatchBuilder;
use vagn_flow::stamp::Stamp;
use vagn_flow::testing::SHEDDING;
use vagn_flow::testing::reply_to;

/// A decoded answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    vehicle_id: String,
    seq: u64,
    incident: Option<String>,
}

/// Publishes a report as a door does that is asked for an answer, and returns where the answer will be.
fn ask(lane: &TestLane, report: &Report<'_>) -> Receiver<Vec<u8>> {
    let (reply_to, heard) = reply_to();
    let mut batch = BatchBuilder::new(SHEDDING);
    batch.push(&encoded(report));
    batch.reply_last_to(reply_to);
    let batch = batch.seal(Stamp { time_ms: now_ms(), first_seq: 0 }, None, &lane.reports);
    batch.take_share().unwrap().settle_rest(vagn_wire::Fate::Stored);
    lane.topic.publish(&batch);
    heard
}

fn hear(heard: &Receiver<Vec<u8>>) -> Answer {
    let bytes = heard.recv_timeout(PATIENCE).expect("an answer");
    let StoredAck { vehicle_id, seq, incident } = StoredAck::decode(&bytes).unwrap();
    Answer { vehicle_id: vehicle_id.as_str().into(), seq, incident: incident.map(Into::into) }
}

/// An alarm with room for the incident in its answer.
fn asking(vehicle_id: &str, seq: u64) -> Report<'_> {
    let (speed_mps, event_time_ms) = (Some(3.0), Some(now_ms()));
    Report { seq: Some(seq), speed_mps, event_time_ms, ..help(vehicle_id) }
}

#[tokio::test]
async fn an_alarm_is_answered_when_it_is_on_disk_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let gate = Gated::closed();
    let mut setup = Setup::new(dir.path(), target.target(8)).behind(&gate);
    setup.recall_within = Duration::from_millis(5);
    let lane = setup.start().await;
    let heard = ask(&lane, &asking("bus 7", 42));
    until(|| (target.heard().len() == 1).then_some(())).await;
    assert_eq!(heard.try_recv(), Err(TryRecvError::Empty), "answered before anything was on disk");
    gate.open();
    let first = hear(&heard);
    let id = lane.all().await[0].id.to_string();
    assert_eq!(first, Answer { vehicle_id: "bus 7".into(), seq: 42, incident: Some(id) });
    let repeat = ask(&lane, &asking("bus 7", 43));
    assert_eq!(hear(&repeat), Answer { seq: 43, ..first });
    assert_eq!(lane.all().await.len(), 1);
    lane.stop().await;
}

#[tokio::test]
async fn a_refused_alarm_gets_no_answer_and_every_other_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path(), Targets::default());
    setup.open_max = 1;
    let lane = setup.start().await;
    let first = ask(&lane, &asking("bus 7", 1));
    assert_eq!(hear(&first).seq, 1);
    let refused = ask(&lane, &asking("one too many", 2));
    let drill = ask(&lane, &Report { seq: Some(3), ..drill("bus 7") });
    assert_eq!(hear(&drill).seq, 3);
    let nowhere = ask(&lane, &Report { seq: Some(u64::MAX), ..nowhere("bus 7") });
    let answer = hear(&nowhere);
    assert_eq!((answer.seq, answer.incident), (u64::MAX, None), "no room for the incident");
    assert_eq!(refused.try_recv(), Err(TryRecvError::Disconnected));
    lane.stop().await;
}

#[tokio::test]
async fn only_an_alarm_that_carries_seq_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let lane = Setup::new(dir.path(), Targets::default()).start().await;
    let silent = ask(&lane, &help("bus 7"));
    let plain = ask(&lane, &Report { emergency: false, ..asking("bus 8", 7) });
    assert_eq!(hear(&ask(&lane, &asking("bus 7", 8))).seq, 8);
    assert_eq!(silent.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(plain.try_recv(), Err(TryRecvError::Disconnected));
    lane.stop().await;
}

#[tokio::test]
async fn alarms_that_are_recorded_at_the_stop_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let lane = Setup::new(dir.path(), Targets::default()).start().await;
    let names: Vec<_> = (0..100).map(|number| format!("bus {number}")).collect();
    let heard: Vec<_> = (0..).zip(&names).map(|(seq, name)| ask(&lane, &asking(name, seq))).collect();
    lane.stop().await;
    for (seq, heard) in heard.iter().enumerate() {
        assert_eq!(hear(heard).seq, seq as u64);
    }
}
