//! Envelopes through the doors: opened once, plain reports behind, each with the mark of its seal.

use super::*;
use vagn_flow::answers::AnswerSequence;
use vagn_flow::clock::SystemClock;
use vagn_flow::guard::{Guard, GuardParts};
use vagn_flow::proof::{DeviceMode, NoProof};
use vagn_seal::{Epoch, KeyId, KeyInForce, KeyTable, Lane, Secret, SenderKey, Speaker};
use vagn_wire::VehicleId;

const KEY: KeyId = KeyId([7; 8]);

/// Doors whose guard has the key of "bus", and what comes out behind them.
async fn doors(mode: DeviceMode) -> (Running, Receiver<Held>, tempfile::TempDir) {
    planned(Plan::default(), mode).await
}

async fn planned(plan: Plan, mode: DeviceMode) -> (Running, Receiver<Held>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let keys = KeyTable::default();
    let speaker = Speaker::Vehicle(VehicleId::new("bus").unwrap());
    let epochs = &[(Epoch::FIRST, Secret([9; 32]))];
    assert!(keys.put(&KeyInForce { key_id: KEY, speaker, epochs }));
    let (mut intake, batches) = collector();
    let guard = Guard::new(GuardParts {
        mode,
        keys: Arc::new(keys),
        reports: intake.reports.clone(),
        answers: AnswerSequence::open(dir.path(), 0, 1).ok().map(Arc::new),
        clock: Arc::new(SystemClock::new()),
    });
    intake.intake = intake.intake.guarded(guard);
    (plan.run(intake).await, batches, dir)
}

fn sealed(sequence: u64, reports: &[u8], lane: Lane) -> Vec<u8> {
    let mut envelope = Vec::new();
    SenderKey::new(KEY, Epoch::FIRST, &Secret([9; 32])).seal(sequence, reports, lane, &mut envelope);
    envelope
}

/// The same as an object of a stream.
fn bin(envelope: &[u8]) -> Vec<u8> {
    [&[0xc5, (envelope.len() >> 8) as u8, envelope.len() as u8], envelope].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_datagram_is_opened_and_steered_by_its_lane() {
    let (running, batches, _dir) = doors(DeviceMode::Open).await;
    let vehicle = vehicle(running.udp);
    let call = sealed(5, &[report("bus", None), emergency("bus", Some(7))].concat(), Lane::Call);
    vehicle.send(&call).unwrap();
    let batch = batches.recv_timeout(PATIENCE).unwrap();
    assert!(
        batch
            .reports()
            .map(|(.., bytes)| bytes.to_vec())
            .eq([report("bus", None), emergency("bus", Some(7))])
    );
    let seals: Vec<_> = batch.seals().iter().map(|(at, seal)| (*at, seal.sequence, seal.more)).collect();
    assert_eq!(seals, [(0, 5, false), (1, 5, true)]);
    let reply = batch.reply_to(1).unwrap();
    assert!(reply.is_sealed() && batch.source(1).is_some() && batch.alarms().count() == 1);
    reply.grant(1);
    let mut slot = [0; 300];
    let len = vehicle.recv(&mut slot).unwrap();
    let key = SenderKey::new(KEY, Epoch::FIRST, &Secret([9; 32]));
    assert!(len <= call.len() && key.open_answer(&slot[..len]).is_ok());
    drop(batch);
    // What stays closed, and what is for another vehicle, comes no further.
    let mut forged = sealed(6, &report("bus", None), Lane::Ordinary);
    forged[20] ^= 1;
    for datagram in [forged, sealed(7, &report("tram", None), Lane::Ordinary), vec![0xc1]] {
        vehicle.send(&datagram).unwrap();
    }
    let refused = |reason| running.intake.reports.unauthenticated(reason).get();
    until(|| refused(NoProof::BadTag) == 2 && refused(NoProof::WrongVehicle) == 1).await;
    assert!(batches.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_in_a_stream_is_a_bin_and_a_bare_one_ends_the_stream() {
    let (running, _batches) = {
        let (running, batches, _dir) = doors(DeviceMode::Required).await;
        let storing = std::thread::Builder::new();
        let batches = storing.spawn(move || batches.into_iter().for_each(Held::store)).unwrap();
        (running, batches)
    };
    let mut client = running.connect().await;
    client.write_all(&bin(&sealed(5, &report("bus", Some(1)), Lane::Ordinary))).await.unwrap();
    assert_eq!(read_fate(&mut client).await, Fate::Stored);
    client.write_all(&report("bus", Some(2))).await.unwrap();
    assert_eq!(read_fate(&mut client).await, Fate::Unauthenticated);
    let mut forged = sealed(6, &report("bus", Some(3)), Lane::Ordinary);
    forged[20] ^= 1;
    client.write_all(&bin(&forged)).await.unwrap();
    client.write_all(&bin(&sealed(7, &report("tram", Some(4)), Lane::Ordinary))).await.unwrap();
    assert_eq!(
        read_fate(&mut client).await,
        Fate::Unauthenticated,
        "of the readable one; none of the forged one"
    );
    let refused = NoProof::ALL.map(|reason| running.intake.reports.unauthenticated(reason).get());
    assert_eq!(refused, [1, 0, 0, 1, 1]);
    client.write_all(&sealed(8, &report("bus", Some(5)), Lane::Ordinary)).await.unwrap();
    until(|| running.refused("not_msgpack") == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lacks_its_seal_gets_no_answer_of_the_original() {
    let plan = Plan { reply: Reply::Original, ..Plan::default() };
    let (running, _batches, _dir) = planned(plan, DeviceMode::Mixed).await;
    let vehicle = vehicle(running.udp);
    let with_another = [report("bus", None), report("tram", None)].concat();
    for datagram in [
        // Nothing but a report of a vehicle with a key, and one beside what cannot be read.
        &report("bus", None)[..],
        &[&report("bus", None)[..], b"\x81\xa2ID\x01"].concat(),
        &sealed(5, &report("bus", None), Lane::Ordinary),
        b"noise",
        &with_another,
    ] {
        vehicle.send(datagram).unwrap();
    }
    let mut reply = [0; 16];
    let length = vehicle.recv(&mut reply).unwrap();
    assert_eq!(&reply[..length], b"\\n");
    vehicle.set_nonblocking(true).unwrap();
    assert!(vehicle.recv(&mut reply).is_err(), "only the last one is answered");
    let refused = |reason: &str| {
        running.intake.metric(&format!("vagn_udp_replies_refused_total{{reason=\"{reason}\"}}"))
    };
    assert_eq!((refused("no_seal"), refused("no_report"), refused("too_many")), (2, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_proved_a_seal_keeps_its_connection_and_who_has_not_gives_way() {
    let plan = Plan { max_connections: 4, ..Plan::default() };
    let (running, batches, _dir) = planned(plan, DeviceMode::Required).await;
    let speaker = Speaker::Vehicle(VehicleId::new("stranger").unwrap());
    let epochs = &[(Epoch::FIRST, Secret([8; 32]))];
    let keys = running.intake.intake.guard().keys();
    assert!(keys.put(&KeyInForce { key_id: KeyId([8; 8]), speaker, epochs }));
    let key = SenderKey::new(KeyId([8; 8]), Epoch::FIRST, &Secret([8; 32]));
    let sealed = |sequence| {
        let mut envelope = Vec::new();
        key.seal(sequence, &report("stranger", None), Lane::Ordinary, &mut envelope);
        bin(&envelope)
    };
    let mut proved = running.connect().await;
    proved.write_all(&sealed(1)).await.unwrap();
    assert_eq!(arrive(&batches, 1), [report("stranger", None)]);
    let mut others = Vec::new();
    for address in ["127.0.1.1", "127.0.1.2", "127.0.1.3"] {
        let mut other = running.secure(running.connect_from(address).await).await;
        // A known vehicle in clear proves nothing here.
        other.write_all(&report("bus", Some(1))).await.unwrap();
        assert_eq!(read_fate(&mut other).await, Fate::Unauthenticated);
        others.push(other);
    }
    running.intake.clock.advance(Duration::from_secs(15));
    let _newcomer = running.secure(running.connect_from("127.0.0.2").await).await;
    until(|| running.refused("displaced_idle") == 1).await;
    proved.write_all(&sealed(2)).await.unwrap();
    assert_eq!(arrive(&batches, 1), [report("stranger", None)]);
}
