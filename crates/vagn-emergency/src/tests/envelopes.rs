//! Envelopes with many calls: opened by the guard of a door, and answered once all of them are on disk.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use vagn_flow::answers::AnswerSequence;
use vagn_flow::batch::BatchBuilder;
use vagn_flow::clock::SystemClock;
use vagn_flow::guard::{Content, Guard, GuardParts};
use vagn_flow::proof::DeviceMode;
use vagn_flow::receipt::{Answer, Receipt};
use vagn_flow::stamp::Stamp;
use vagn_flow::testing::{SHEDDING, WAITING, reply_to};
use vagn_otp::testkit::until;
use vagn_seal::{Epoch, KeyId, KeyInForce, KeyTable, Lane, OVERHEAD, Secret, SenderKey, Speaker};
use vagn_wire::{Fate, VehicleId};

use super::gated::Gated;
use super::setup::*;
use super::target::TestTarget;
use crate::Targets;
use crate::fix::Fix;
use crate::intake::known::KnownVehicle;

/// Longest datagram.
const DATAGRAM_MAX: usize = 2_048;

/// Shortest call that fits an envelope: a list without id and place, with the flag.
const SHORTEST: &[u8] = b"\x94\xc0\xc0\xc0\xc3";

/// A lane behind a guard that knows the key of "bus 7", and that of a gateway for vehicles from "t" on.
struct Doors {
    lane: TestLane,
    guard: Arc<Guard>,
    _dir: tempfile::TempDir,
}

#[derive(Clone, Copy)]
enum By {
    Bus = 1,
    Gateway = 2,
}

fn sender(by: By) -> SenderKey {
    SenderKey::new(KeyId([by as u8; 8]), Epoch::FIRST, &Secret([9; 32]))
}

fn seal(by: By, sequence: u64, calls: &[u8]) -> Vec<u8> {
    let mut envelope = Vec::new();
    sender(by).seal(sequence, calls, Lane::Call, &mut envelope);
    envelope
}

impl Doors {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lane = Setup::new(dir.path(), Targets::default()).start().await;
        Self::of(lane, dir)
    }

    /// The same with a store that opens when `gate` does, and a fleet that knows every vehicle.
    async fn behind(gate: &Gated) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let target = TestTarget::accepting().await;
        let mut setup = Setup::new(dir.path(), target.target(8)).behind(gate);
        setup.recall_within = Duration::from_millis(5);
        setup.vehicles = fleet(|_| KnownVehicle::known(Fix::at(1.0, 2.0, 0, false)));
        Self::of(setup.start().await, dir)
    }

    fn of(lane: TestLane, dir: tempfile::TempDir) -> Self {
        let keys = KeyTable::default();
        let epochs = &[(Epoch::FIRST, Secret([9; 32]))];
        let bus = Speaker::Vehicle(VehicleId::new("bus 7").unwrap());
        for (by, speaker) in [(By::Bus, bus), (By::Gateway, Speaker::Gateway { name: "depot", prefix: "t" })]
        {
            assert!(keys.put(&KeyInForce { key_id: KeyId([by as u8; 8]), speaker, epochs }));
        }
        let guard = Guard::new(GuardParts {
            mode: DeviceMode::Required,
            keys: Arc::new(keys),
            reports: lane.reports.clone(),
            answers: AnswerSequence::open(dir.path(), 0, now_ms()).ok().map(Arc::new),
            clock: Arc::new(SystemClock::new()),
        });
        Self { lane, guard, _dir: dir }
    }

    fn opened(&self, envelope: &[u8]) -> Content {
        let mut content = Content::default();
        self.guard.open(envelope, || None, &mut content).unwrap();
        content
    }

    /// Takes envelopes in as the UDP door does that received them together. Returns what their senders hear.
    fn datagrams(&self, envelopes: &[Vec<u8>]) -> Vec<Receiver<Vec<u8>>> {
        let mut batch = BatchBuilder::new(SHEDDING);
        let take = |envelope: &Vec<u8>| {
            let content = self.opened(envelope);
            let (reply_to, heard) = reply_to();
            let reply = self.guard.reply(&content, reply_to).expect("the answer fits");
            for entry in content.entries() {
                batch.push_marked(entry.bytes, entry.mark);
                batch.seal_last(entry.seal);
                batch.reply_last_to(reply.clone());
            }
            heard
        };
        let heard = envelopes.iter().map(take).collect();
        self.publish(batch, None);
        heard
    }

    /// Takes envelopes in as a door does whose senders wait for the fate of each report.
    fn stream(&self, envelopes: &[Vec<u8>]) -> Answer {
        let mut batch = BatchBuilder::new(WAITING);
        for envelope in envelopes {
            for entry in self.opened(envelope).entries() {
                batch.push_marked(entry.bytes, entry.mark);
                batch.seal_last(entry.seal);
            }
        }
        let (receipt, answer) = Receipt::new(batch.len());
        receipt.answer_for_reports(batch.len()).settle((0..batch.len() as u32).map(|at| (at, Fate::Stored)));
        self.publish(batch, Some(receipt));
        answer
    }

    fn publish(&self, batch: BatchBuilder, receipt: Option<Receipt>) {
        let stamp = Stamp { time_ms: now_ms(), first_seq: 0 };
        let batch = batch.seal(stamp, receipt.as_ref(), &self.lane.reports);
        batch.take_share().unwrap().settle_rest(Fate::Stored);
        self.lane.topic.publish(&batch);
    }

    /// Waits until so many reports are at the desk.
    async fn wait_for_reports(&self, reports: usize) {
        let at_desk = || {
            let desk = self.lane.handle.lane.desk.lock();
            desk.newest_first(None).map(|incident| incident.alarm.reports).sum::<u64>()
        };
        until(|| (at_desk() == reports as u64).then_some(())).await;
    }

    /// Number of reports in all incidents.
    async fn reports(&self) -> u64 {
        self.lane.all().await.iter().map(|incident| incident.reports).sum()
    }
}

fn hear(by: By, heard: &Receiver<Vec<u8>>) {
    let answer = heard.recv_timeout(PATIENCE).expect("an answer");
    let (_, clear) = sender(by).open_answer(&answer).unwrap();
    assert!(clear.ends_with(b"\xa6Stored\xc3"));
    assert!(heard.try_recv().is_err(), "a second answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_is_answered_however_many_calls_of_a_vehicle_are_in_it() {
    let fitting = (DATAGRAM_MAX - OVERHEAD) / SHORTEST.len();
    assert_eq!(fitting, 402);
    for calls in [16, 17, 40, fitting] {
        let doors = Doors::open().await;
        let heard = doors.datagrams(&[seal(By::Bus, 5, &SHORTEST.repeat(calls))]);
        hear(By::Bus, &heard[0]);
        let all = doors.lane.all().await;
        assert_eq!((all.len(), all[0].reports, all[0].recorded), (1, calls as u64, true));
        doors.lane.stop().await;
    }
}

/// A call of a gateway's vehicle.
fn of(vehicle: usize) -> Vec<u8> {
    [&[0x94, 0xa4], format!("t{vehicle:03}").as_bytes(), b"\xc0\xc0\xc3"].concat()
}

/// A call under an incident id of the vehicle's own.
fn named(incident: usize) -> Vec<u8> {
    [b"\x82\xa3Inc\xa4", format!("{incident:04}").as_bytes(), b"\xa9Emergency\xc3"].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_takes_one_seat_however_many_vehicles_call_in_it() {
    let doors = Doors::open().await;
    let vehicles = (DATAGRAM_MAX - OVERHEAD) / of(0).len();
    let envelopes: Vec<_> = (0..5)
        .map(|number| {
            let calls = (0..vehicles).flat_map(|vehicle| of((vehicle + number * 37) % 999));
            seal(By::Gateway, 5 + number as u64, &calls.collect::<Vec<_>>())
        })
        .collect();
    for heard in doors.datagrams(&envelopes) {
        hear(By::Gateway, &heard);
    }
    assert_eq!(doors.reports().await, 5 * vehicles as u64);
    doors.lane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_one_envelope_that_come_to_one_incident_wait_as_one_sender() {
    let gate = Gated::closed();
    let doors = Doors::behind(&gate).await;
    let calls = (DATAGRAM_MAX - OVERHEAD) / named(0).len();
    let envelopes: Vec<_> = (0..12)
        .map(|number| {
            let calls = (0..calls).flat_map(|call| named(number * calls + call));
            seal(By::Bus, 5 + number as u64, &calls.collect::<Vec<_>>())
        })
        .collect();
    let heard = doors.datagrams(&envelopes);
    doors.wait_for_reports(12 * calls).await;
    assert!(heard.iter().all(|heard| heard.try_recv().is_err()), "answered before anything was on disk");
    gate.open();
    heard.iter().for_each(|heard| hear(By::Bus, heard));
    doors.lane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_a_stream_hears_of_its_incident_however_many_are_of_one_vehicle() {
    let gate = Gated::closed();
    let doors = Doors::behind(&gate).await;
    let envelopes: Vec<_> = (5..9).map(|sequence| seal(By::Bus, sequence, &SHORTEST.repeat(402))).collect();
    let answer = doors.stream(&envelopes);
    doors.wait_for_reports(4 * 402).await;
    gate.open();
    let outcomes = tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap();
    let id = doors.lane.all().await[0].id.to_string();
    assert_eq!(outcomes.len(), 4 * 402);
    let told = |at: usize| (outcomes[at].fate, outcomes[at].incident.as_deref());
    assert!((0..outcomes.len()).all(|at| told(at) == (Fate::Stored, Some(&*id))), "{:?}", told(1_300));
    doors.lane.stop().await;
}
