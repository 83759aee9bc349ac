//! The whole lane, from a published batch to what the target heard.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use vagn_otp::testkit::until;
use vagn_otp::{CallError, Fault};
use vagn_wire::{Fate, Position, Report};

use super::setup::*;
use crate::State;
use crate::fix::Fix;
use crate::id::IncidentId;
use crate::intake::known::KnownVehicle;
use crate::record::incident::{Incident, PRIMARY};
use crate::record::store::Store;
use crate::show::view::{Filter, NoticeStatus};
use crate::{Request, RequestKind, RequestOutcome, Targets};

fn ok(_: &Heard) -> Reaction {
    Reaction::Answer(200)
}

#[tokio::test]
async fn the_flag_counts_whatever_becomes_of_the_position() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(ok).await;
    let mut setup = Setup::new(dir.path(), target.target(8));
    let place = Fix { lat: 1.0, lon: 2.0, time_ms: 0, trusted: false };
    let seen = KnownVehicle::known(place);
    setup.vehicles =
        fleet(move |vehicle_id| if vehicle_id == "known" { seen } else { KnownVehicle::STRANGER });
    let lane = setup.start().await;
    let future = Some(now_ms() + 7_200_000);
    let stale = Some(now_ms() - 86_400_000);
    lane.send(&[
        help("fine"),
        nowhere("known"),
        nowhere("unknown"),
        Report { event_time_ms: future, ..help("future") },
        Report { event_time_ms: stale, ..help("stale") },
        Report { emergency: false, ..help("no emergency") },
    ]);
    let not_a_number =
        b"\x84\xa2ID\xa3nan\xa3Lat\xcb\x7f\xf8\0\0\0\0\0\0\xa3Lon\x01\xa9Emergency\xc3".to_vec();
    let cut_off = b"\x84\xa2ID\xa3cut\xa9Emergency\xc3\xa3Lat\xcb".to_vec();
    lane.publish(vagn_flow::testing::SHEDDING, &[not_a_number, cut_off, b"noise".to_vec()], None);
    lane.accepted(7).await;
    let heard: HashMap<_, _> =
        target.heard().into_iter().map(|call| (call.vehicle().to_owned(), call.body)).collect();
    assert_eq!(heard.len(), 7);
    for (vehicle_id, lat, trusted) in [
        ("fine", Some(59.33), true),
        ("known", Some(1.0), false),
        ("unknown", None, false),
        ("future", Some(59.33), false),
        ("stale", Some(59.33), true),
        ("nan", None, false),
        ("cut", None, false),
    ] {
        assert_eq!(heard[vehicle_id]["lat"].as_f64(), lat, "{vehicle_id}");
        assert_eq!(heard[vehicle_id]["position_trusted"], trusted, "{vehicle_id}");
    }
    assert!(heard["stale"]["age_s"].as_f64().unwrap() >= 86_400.0);
    lane.stop().await;
}

#[tokio::test]
async fn a_hundred_copies_are_one_incident_and_one_call() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(ok).await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    for _ in 0..10 {
        lane.send(&[help("bus 7"); 10]);
    }
    lane.when(|all| all.iter().map(|incident| incident.reports).sum::<u64>() == 100).await;
    let all = lane.accepted(1).await;
    assert_eq!((all.len(), all[0].state, all[0].notices.attempts), (1, State::Notified, 1));
    let heard = target.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].header("idempotency-key"), Some(all[0].id.to_string().as_str()));
    lane.stop().await;
}

/// Fails half of the calls, now without an answer, and loses the answer to the first that it accepts.
#[tokio::test]
async fn a_target_that_fails_half_of_the_time_gets_every_call_under_one_key() {
    const VEHICLES: usize = 200;
    let dir = tempfile::tempdir().unwrap();
    let state = Mutex::new((fastrand::Rng::with_seed(5), HashSet::new(), false));
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let said_yes = accepted.clone();
    let target = TestTarget::new(move |call| {
        let (rng, keys, lost) = &mut *state.lock();
        keys.insert(call.header("idempotency-key").unwrap().to_owned());
        if rng.bool() {
            return if rng.bool() { Reaction::Answer(503) } else { Reaction::HangUp };
        }
        said_yes.lock().push(call.vehicle().to_owned());
        if std::mem::replace(lost, true) { Reaction::Answer(202) } else { Reaction::HangUp }
    })
    .await;
    let lane = Setup::new(dir.path(), target.target(16)).start().await;
    let names: Vec<_> = (0..VEHICLES).map(|number| format!("vehicle {number}")).collect();
    for name in &names {
        lane.send(&[help(name)]);
    }
    let all = lane.accepted(VEHICLES).await;
    assert_eq!(all.len(), VEHICLES);
    let mut keys: HashMap<String, HashSet<String>> = HashMap::new();
    for call in target.heard() {
        let key = call.header("idempotency-key").unwrap().to_owned();
        keys.entry(call.vehicle().to_owned()).or_default().insert(key);
    }
    assert!(keys.len() == VEHICLES && keys.values().all(|keys| keys.len() == 1));
    assert_eq!(accepted.lock().len(), VEHICLES + 1, "one was accepted twice, because its answer was lost");
    let calls = target.heard().len() as u64;
    let counted =
        |outcome| lane.metrics.emergencies.get_or_create(&crate::metrics::OutcomeLabel { outcome }).get();
    assert_eq!((counted("accepted"), counted("retried")), (VEHICLES as u64, calls - VEHICLES as u64));
    lane.stop().await;
}

#[tokio::test]
async fn calls_that_hang_hold_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let hanging = |call: &Heard| call.vehicle().starts_with("slow");
    let script = move |call: &Heard| if hanging(call) { Reaction::Silence } else { Reaction::Answer(200) };
    let target = TestTarget::new(script).await;
    let lane = Setup::new(dir.path(), target.target(4)).start().await;
    lane.send(&[help("slow 1"), help("slow 2"), help("slow 3")]);
    until(|| (target.heard().len() == 3).then_some(())).await;
    let names: Vec<_> = (0..50).map(|number| format!("vehicle {number}")).collect();
    lane.send(&names.iter().map(|name| help(name)).collect::<Vec<_>>());
    let all = lane.accepted(50).await;
    let calling = |name: &str| {
        all.iter().any(|one| &*one.vehicle_id == name && one.notices.status == NoticeStatus::UnderWay)
    };
    assert!(calling("slow 1") && calling("slow 2") && calling("slow 3"));
    lane.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_with_what_nobody_accepted_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let refusing = TestTarget::new(|_| Reaction::Answer(500)).await;
    let lane = Setup::new(dir.path(), refusing.target(8)).start().await;
    let names: Vec<_> = (0..20).map(|number| format!("vehicle {number}")).collect();
    for name in &names {
        lane.send(&[help(name)]);
        lane.when(|all| all.iter().any(|one| *one.vehicle_id == **name)).await;
    }
    let before = lane.when(|all| all.iter().all(|one| one.notices.attempts > 0)).await;
    lane.stop().await;
    let willing = TestTarget::new(ok).await;
    let lane = Setup::new(dir.path(), willing.target(1)).start().await;
    let after = lane.accepted(names.len()).await;
    assert_eq!(
        before.iter().map(|one| one.id).collect::<Vec<_>>(),
        after.iter().map(|one| one.id).collect::<Vec<_>>()
    );
    assert_eq!(willing.heard().iter().map(|call| call.vehicle().to_owned()).collect::<Vec<_>>(), names);
    assert!(willing.heard().iter().all(|call| call.body["attempt"].as_u64().unwrap() > 1));
    lane.stop().await;
}

#[tokio::test]
async fn a_repeat_during_a_slow_restart_is_no_second_incident() {
    let dir = tempfile::tempdir().unwrap();
    let refusing = TestTarget::new(|_| Reaction::Answer(500)).await;
    let lane = Setup::new(dir.path(), refusing.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    lane.when(|all| all.len() == 1 && all[0].notices.attempts > 0).await;
    lane.stop().await;
    let willing = TestTarget::new(ok).await;
    let gate = Gated::default();
    gate.set(true);
    let mut setup = Setup::new(dir.path(), willing.target(8));
    let (open, closed) = (setup.opener, gate.clone());
    setup.opener = Box::new(move || {
        closed.sync_data().unwrap();
        open()
    });
    let lane = setup.start().await;
    lane.send(&[help("bus 7")]);
    let shared = lane.handle.lane.clone();
    // Longer than a record may take.
    let late = |arrived| shared.clock.monotonic() > arrived + Duration::from_millis(150);
    until(|| shared.inbox.oldest().filter(|arrived| late(*arrived))).await;
    gate.set(false);
    let all = lane.accepted(1).await;
    assert_eq!(all.len(), 1);
    let keys = |target: &TestTarget| -> HashSet<String> {
        target.heard().iter().map(|call| call.header("idempotency-key").unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&willing), keys(&refusing));
    lane.stop().await;
}

#[tokio::test]
async fn a_store_that_takes_too_long_to_open_holds_up_no_call() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(ok).await;
    let gate = Gated::default();
    gate.set(true);
    let mut setup = Setup::new(dir.path(), target.target(8));
    setup.recall_within = Duration::from_millis(5);
    let (open, closed) = (setup.opener, gate.clone());
    setup.opener = Box::new(move || {
        closed.sync_data().unwrap();
        open()
    });
    let lane = setup.start().await;
    lane.send(&[help("bus 7")]);
    until(|| (target.heard().len() == 1).then_some(())).await;
    gate.set(false);
    lane.accepted(1).await;
    lane.stop().await;
}

#[tokio::test]
async fn a_record_that_makes_no_sense_keeps_no_call_from_its_target() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), 1 << 20, 100).unwrap();
    let (nonsense, owed) = (IncidentId::from_u128(1), IncidentId::from_u128(2));
    store.save(&[Incident::example(owed, "bus 7").into()]).unwrap();
    store.save_nonsense(nonsense);
    drop(store);
    let target = TestTarget::new(ok).await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.accepted(1).await;
    assert!(lane.handle.get(nonsense, PATIENCE).await.unwrap().is_none());
    let page = lane.handle.list(Filter::default(), 10, None, PATIENCE).await.unwrap();
    assert_eq!((page.complete, page.incidents.len(), page.incidents[0].id), (true, 1, owed));
    assert_eq!(lane.handle.status().store_failure, None);
    until(|| lane.readiness.report().warnings.contains_key("incident records").then_some(())).await;
    lane.stop().await;
}

#[tokio::test]
async fn a_trial_without_a_target_for_drills_is_recorded_and_never_called() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(ok).await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    let answer = lane.ask(&drill("bus 7"));
    assert!(answer.await.unwrap()[0].incident.is_some(), "a trial is acknowledged like the real thing");
    lane.send(&[help("bus 7")]);
    let all = lane.accepted(1).await;
    let seen: Vec<_> = all.iter().map(|one| (one.drill, one.notices.status)).collect();
    assert_eq!(seen, [(false, NoticeStatus::Accepted), (true, NoticeStatus::NoTarget)]);
    assert_eq!(target.heard().len(), 1);
    assert_eq!(target.heard()[0].header("idempotency-key").unwrap(), all[0].id.to_string());
    lane.stop().await;
}

#[tokio::test]
async fn a_drill_goes_the_whole_way_to_its_own_target_and_a_real_call_to_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let (real, training) = (TestTarget::new(ok).await, TestTarget::new(ok).await);
    let targets = Targets { drill: Some(training.named("drill", 8)), ..real.target(8) };
    let lane = Setup::new(dir.path(), targets).start().await;
    lane.send(&[drill("bus 7"), help("bus 7"), drill("bus 8")]);
    let all = lane.accepted(3).await;
    assert_eq!(all.len(), 3, "a drill and a call in earnest of one vehicle are two incidents");
    let heard = |target: &TestTarget| {
        let calls = target.heard();
        calls
            .iter()
            .map(|call| (call.vehicle().to_owned(), call.body["test"] == true))
            .collect::<HashSet<_>>()
    };
    assert_eq!(heard(&training), HashSet::from([("bus 7".into(), true), ("bus 8".into(), true)]));
    assert_eq!(heard(&real), HashSet::from([("bus 7".into(), false)]));
    assert!(lane.handle.is_calling_for_help("bus 7") && !lane.handle.is_calling_for_help("bus 8"));
    lane.stop().await;
}

#[tokio::test]
async fn past_the_limit_a_call_is_refused_counted_and_alarmed() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path(), Targets::default());
    setup.open_max = 4; // Half of it for vehicles that may be strangers.
    let lane = setup.start().await;
    lane.send(&[help("one"), help("two")]);
    lane.when(|all| all.len() == 2).await;
    let answer = lane.ask(&help("three")).await.unwrap();
    assert_eq!((answer[0].fate, &answer[0].incident), (Fate::Failed, &None));
    let known = lane.ask(&help("one")).await.unwrap();
    assert!(known[0].incident.is_some(), "an open incident goes on");
    let refused = &crate::metrics::OutcomeLabel { outcome: "refused" };
    assert_eq!(lane.metrics.emergencies.get_or_create(refused).get(), 1);
    let warnings = lane.readiness.report().warnings;
    assert!(
        warnings.contains_key("refused emergencies") && warnings.contains_key("emergency target"),
        "{warnings:?}"
    );
    lane.stop().await;
}

/// A storage whose syncs stand still while the gate is shut.
#[derive(Debug, Clone, Default)]
struct Gated {
    inner: Arc<InMemoryBackend>,
    shut: Arc<(Mutex<bool>, Condvar)>,
}

impl Gated {
    fn set(&self, shut: bool) {
        *self.shut.0.lock() = shut;
        self.shut.1.notify_all();
    }
}

impl StorageBackend for Gated {
    fn len(&self) -> std::io::Result<u64> {
        self.inner.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.inner.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.inner.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.shut.1.wait_while(&mut self.shut.0.lock(), |shut| *shut);
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.inner.write(offset, data)
    }
}

#[tokio::test]
async fn a_call_does_not_wait_for_a_slow_disk_but_its_stored_ack_does() {
    let target = TestTarget::new(ok).await;
    let disk = Gated::default();
    let (storage, dir) = (disk.clone(), tempfile::tempdir().unwrap());
    let mut setup = Setup::new(dir.path(), target.target(8));
    setup.opener = Box::new(move || Store::on(storage.clone(), 100));
    let lane = setup.start().await;
    let first = lane.ask(&help("first")).await.unwrap();
    assert!(first[0].incident.is_some());
    lane.accepted(1).await;
    disk.set(true);
    let mut answer = lane.ask(&help("second"));
    lane.send(&[help("third")]);
    until(|| (target.heard().len() == 3).then_some(())).await;
    assert!(answer.try_recv().is_err(), "acknowledged before it was on disk");
    disk.set(false);
    let answer = answer.await.unwrap();
    let all = lane.accepted(3).await;
    let second = all.iter().find(|one| &*one.vehicle_id == "second").unwrap();
    assert_eq!(answer[0].incident, Some(second.id.to_string()));
    assert!(all.iter().take(2).all(|one| one.notices.unrecorded), "{all:?}");
    lane.stop().await;
}

#[tokio::test]
async fn calls_go_out_without_a_store_and_are_recorded_when_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("not yet");
    let target = TestTarget::new(ok).await;
    let lane = Setup::new(&gone, target.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    until(|| (target.heard().len() == 1).then_some(())).await;
    let page = lane.handle.list(Filter::default(), 10, None, PATIENCE).await.unwrap();
    assert!(!page.complete && page.incidents[0].notices.unrecorded);
    let id = page.incidents[0].id;
    assert!(lane.handle.get(id, PATIENCE).await.unwrap().is_some_and(|found| !found.incident.recorded));
    // It may have ended, and be in the store.
    let unknown = IncidentId::from_u128(7);
    assert_eq!(lane.handle.get(unknown, PATIENCE).await, Err(CallError::Down));
    let request = Request { action: RequestKind::Comment, by: "Anna".into(), note: "there?".into() };
    assert_eq!(lane.handle.act(unknown, request, PATIENCE).await, Err(CallError::Down));
    assert!(lane.handle.status().store_failure.is_some());
    assert!(lane.readiness.report().warnings.contains_key("incident store"));
    fs::create_dir(&gone).unwrap();
    until(|| (lane.handle.status().unrecorded == 0).then_some(())).await;
    assert_eq!(lane.handle.status().store_failure, None);
    assert_eq!(lane.handle.get(unknown, PATIENCE).await, Ok(None));
    lane.stop().await;
    let store = Store::open(&gone, 4096, 10).unwrap();
    assert!(store.live().unwrap()[0].progress.accepted_ms.is_some());
}

#[tokio::test]
async fn panics_of_either_actor_lose_nothing() {
    const VEHICLES: usize = 60;
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(ok).await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    let names: Vec<_> = (0..VEHICLES).map(|number| format!("vehicle {number}")).collect();
    for (number, name) in names.iter().enumerate() {
        match number % 20 {
            5 => lane.fail("incidents", Fault::Panic),
            15 => lane.fail("notifier", Fault::Panic),
            _ => {}
        }
        lane.send(&[help(name)]);
        tokio::task::yield_now().await;
    }
    let all = lane.accepted(VEHICLES).await;
    assert_eq!(all.len(), VEHICLES);
    lane.restarted("incidents", 1).await;
    lane.restarted("notifier", 1).await;
    let called: HashSet<_> = target.heard().iter().map(|call| call.vehicle().to_owned()).collect();
    assert_eq!(called.len(), VEHICLES);
    lane.stop().await;
}

#[tokio::test]
async fn a_hung_incidents_actor_holds_up_no_call() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(ok).await;
    let mut setup = Setup::new(dir.path(), target.target(8));
    let place = Fix { lat: 1.0, lon: 2.0, time_ms: 0, trusted: false };
    setup.vehicles = fleet(move |_| KnownVehicle::known(place));
    let lane = setup.start().await;
    assert!(lane.all().await.is_empty(), "it has begun, and is idle");
    lane.fail("incidents", Fault::Hang);
    lane.send(&[nowhere("bus 7")]);
    until(|| (target.heard().len() == 1).then_some(())).await;
    assert_eq!(lane.processes().get("incidents").unwrap().restarts, 0, "the call waited for the watchdog");
    assert_eq!(target.heard()[0].body["lat"], 1.0);
    lane.restarted("incidents", 1).await;
    let all = lane.accepted(1).await;
    assert!(all[0].notices.unrecorded);
    lane.stop().await;
}

#[tokio::test]
async fn a_crash_of_the_recorder_cuts_off_no_call() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(|_| Reaction::Silence).await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    until(|| (target.heard().len() == 1).then_some(())).await;
    lane.fail("incidents", Fault::Panic);
    lane.send(&[drill("bus 8")]);
    lane.restarted("incidents", 1).await;
    let all = lane.all().await;
    let real = all.iter().find(|one| !one.drill).unwrap();
    assert_eq!(lane.processes().get("notifier").unwrap().restarts, 0);
    assert_eq!((real.notices.status, real.notices.attempts), (NoticeStatus::UnderWay, 0));
    assert_eq!(target.heard().len(), 1, "it was cut off and made again");
    lane.stop().await;
}

#[tokio::test]
async fn a_hung_caller_is_replaced_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(ok).await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.fail("notifier", Fault::Hang);
    lane.send(&[help("bus 7")]);
    lane.accepted(1).await;
    assert_eq!(lane.processes().get("notifier").unwrap().restarts, 1);
    lane.stop().await;
}

#[tokio::test]
async fn a_search_that_hangs_holds_up_no_record() {
    let dir = tempfile::tempdir().unwrap();
    let lane = Setup::new(dir.path(), Targets::default()).start().await;
    assert!(lane.all().await.is_empty(), "it has begun, and is idle");
    lane.fail("incident-reader", Fault::Hang);
    let within = Duration::from_millis(300);
    let hangs = lane.handle.list(Filter::default(), 1, None, within).await;
    assert_eq!(hangs, Err(CallError::Timeout));
    assert!(lane.ask(&help("bus 7")).await.unwrap()[0].incident.is_some());
    assert_eq!(lane.processes().get("incident-reader").unwrap().restarts, 0, "it waited for the watchdog");
    lane.restarted("incident-reader", 1).await;
    assert_eq!(lane.all().await.len(), 1);
    lane.stop().await;
}

#[tokio::test]
async fn a_place_is_looked_up_once_the_fleet_can_say() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path(), Targets::default());
    let recovered = Arc::new(Mutex::new(false));
    let is_recovered = recovered.clone();
    let place = Fix::new(Position::new(1.0, 2.0).unwrap(), 3, false);
    let seen = KnownVehicle::known(place);
    setup.vehicles = fleet(move |_| if *is_recovered.lock() { seen } else { KnownVehicle::UNDECIDED });
    let lane = setup.start().await;
    lane.send(&[nowhere("bus 7")]);
    let all = lane.when(|all| all.len() == 1).await;
    assert_eq!((&all[0].position, all[0].notices.status), (&None, NoticeStatus::NoTarget));
    *recovered.lock() = true;
    let all = lane.when(|all| all[0].position.is_some()).await;
    assert!(!all[0].position.as_ref().unwrap().trusted);
    lane.stop().await;
}

#[tokio::test]
async fn what_goes_on_and_what_is_stored_are_listed_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let lane = Setup::new(dir.path(), Targets::default()).start().await;
    let names: Vec<_> = (0..25).map(|number| format!("vehicle {number}")).collect();
    for name in &names {
        lane.send(&[help(name)]);
        lane.when(|all| all.iter().any(|one| *one.vehicle_id == **name)).await;
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = lane.handle.list(Filter::default(), 10, after, PATIENCE).await.unwrap();
        assert!(page.complete && page.incidents.len() <= 10);
        found.extend(page.incidents.into_iter().map(|one| one.vehicle_id.into_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    found.reverse();
    assert_eq!(found, names);
    let filter = Filter { vehicle_id: Some("vehicle 3".into()), ..Filter::default() };
    let page = lane.handle.list(filter, 10, None, PATIENCE).await.unwrap();
    let one = lane.handle.get(page.incidents[0].id, PATIENCE).await.unwrap();
    let found = one.map(|detail| detail.incident);
    assert_eq!((page.incidents.len(), found.as_ref()), (1, page.incidents.first()));
    lane.stop().await;
}

#[tokio::test]
async fn what_is_over_is_kept_and_a_later_call_is_another_incident() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(ok).await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    let first = lane.accepted(1).await[0].id;
    let done = lane.act(first, RequestKind::Resolve, "a false alarm").await;
    assert!(matches!(&done, RequestOutcome::Done(detail) if detail.incident.recorded), "{done:?}");
    lane.send(&[help("bus 7")]);
    let all = lane.accepted(2).await;
    assert_eq!((all[1].id, all[1].state), (first, State::Resolved));
    let ask = |state| Filter { state: Some(state), vehicle_id: Some("bus 7".into()), ..Filter::default() };
    let over = lane.handle.list(ask(State::Resolved), 10, None, PATIENCE).await.unwrap();
    let open = lane.handle.list(ask(State::Notified), 10, None, PATIENCE).await.unwrap();
    assert_eq!((over.incidents.len(), open.incidents.len()), (1, 1));
    let said = lane.act(first, RequestKind::Comment, "the driver called back").await;
    let RequestOutcome::Done(detail) = said else { panic!("{said:?}") };
    let trail: Vec<_> = detail.trail.iter().map(|entry| (entry.action, &*entry.by)).collect();
    let expected =
        [("opened", "bus 7"), ("notified", "primary"), ("resolved", "Anna"), ("commented", "Anna")];
    assert_eq!(trail, expected);
    assert!(detail.trail.iter().all(|entry| entry.hash.is_some()), "{detail:?}");
    lane.stop().await;
}

#[tokio::test]
async fn the_first_person_to_acknowledge_wins_and_the_others_hear_who_and_when() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(ok).await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    let id = lane.accepted(1).await[0].id;
    assert!(matches!(lane.act(id, RequestKind::Acknowledge, "on my way").await, RequestOutcome::Done(_)));
    for act in [RequestKind::Acknowledge, RequestKind::Resolve, RequestKind::Acknowledge] {
        let acted = lane.act(id, act, "").await;
        let first = matches!(&acted, RequestOutcome::Refused { by, note, .. } if &**by == "Anna" && &**note == "on my way");
        assert!(
            first
                || act == RequestKind::Resolve
                || matches!(&acted, RequestOutcome::Refused { state: State::Resolved, .. }),
            "{acted:?}"
        );
    }
    assert_eq!(lane.act(IncidentId::from_u128(1), RequestKind::Comment, "?").await, RequestOutcome::NotFound);
    lane.stop().await;
}

#[tokio::test]
async fn a_refusal_for_good_is_a_dead_letter_passes_the_turn_on_and_can_be_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let mended = Arc::new(Mutex::new(false));
    let is_mended = mended.clone();
    let wrong = TestTarget::new(move |_| Reaction::Answer(if *is_mended.lock() { 200 } else { 404 })).await;
    let next = TestTarget::new(ok).await;
    let targets = Targets { chain: vec![wrong.named("city", 8), next.named("county", 8)], drill: None };
    let lane = Setup::new(dir.path(), targets).start().await;
    lane.send(&[help("bus 7")]);
    let all = lane.accepted(1).await;
    assert_eq!((wrong.heard().len(), next.heard().len()), (1, 1));
    assert_eq!(next.heard()[0].body["escalation"], 1);
    assert_eq!(lane.metrics.dead_letters.get(), 1);
    assert!(lane.readiness.report().warnings.contains_key("dead letters"));
    let dead = Filter { dead_letter: Some(true), ..Filter::default() };
    assert_eq!(lane.handle.list(dead, 10, None, PATIENCE).await.unwrap().incidents.len(), 1);
    *mended.lock() = true;
    assert_eq!(lane.handle.replay("Anna".into(), PATIENCE).await.unwrap(), 1);
    until(|| (wrong.heard().len() == 2 && lane.metrics.dead_letters.get() == 0).then_some(())).await;
    let detail = lane.handle.get(all[0].id, PATIENCE).await.unwrap().unwrap();
    let ledger: Vec<_> =
        detail.ledger.iter().map(|one| (one.number, &*one.target, one.outcome.word())).collect();
    assert_eq!(ledger, [(1, "city", "dead"), (2, "county", "accepted"), (3, "city", "accepted")]);
    lane.stop().await;
}

#[tokio::test]
async fn later_positions_follow_as_updates_under_keys_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(ok).await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    let id = lane.accepted(1).await[0].id;
    for lat in [59.0, 58.0] {
        let heard = target.heard().len();
        lane.send(&[Report { position: Position::new(lat, 18.0), ..help("bus 7") }]);
        until(|| (target.heard().len() > heard).then_some(())).await;
    }
    let said: Vec<_> = target
        .heard()
        .iter()
        .map(|call| {
            let key = call.header("idempotency-key").unwrap().to_owned();
            (key, call.body["type"].as_str().unwrap().to_owned(), call.body["lat"].as_f64().unwrap())
        })
        .collect();
    let update = |number: u32, lat| (format!("{id}-{number}"), "incident.updated".to_owned(), lat);
    assert_eq!(
        said,
        [(id.to_string(), "incident.opened".to_owned(), 59.33), update(1, 59.0), update(2, 58.0)]
    );
    lane.stop().await;
}

#[tokio::test]
async fn a_target_that_asks_for_patience_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(|_| Reaction::Later(3600)).await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    let all = lane.when(|all| all.len() == 1 && all[0].notices.attempts == 1).await;
    let next = &all[0].notices.targets[0];
    // No longer than five minutes, whatever it asks for.
    let due: jiff::Timestamp = next.next_at.as_ref().unwrap().parse().unwrap();
    let wait_s = due.as_second() - now_ms() / 1000;
    assert!((250..=301).contains(&wait_s), "{wait_s} s, {next:?}");
    assert_eq!(next.name.as_ref(), PRIMARY);
    lane.stop().await;
}

#[tokio::test]
async fn a_call_says_how_far_the_trail_goes() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(ok).await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    lane.accepted(1).await;
    let head = target.heard()[0].body["trail_head"].as_str().unwrap().to_owned();
    assert!(head.starts_with("1:"), "{head}");
    let page = lane.handle.trail(0, 10, PATIENCE).await.unwrap().unwrap();
    assert_eq!(head.strip_prefix("1:"), page.entries[0].hash.as_deref());
    lane.stop().await;
}

#[tokio::test]
async fn whatever_the_target_does_costs_one_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let tried = Mutex::new(HashSet::new());
    let target = TestTarget::new(move |call| {
        if !tried.lock().insert(call.vehicle().to_owned()) {
            return Reaction::Answer(200);
        }
        match call.vehicle() {
            "redirect" => Reaction::Redirect,
            "drip" => Reaction::Drip,
            "endless refusal" => Reaction::Endless(500),
            "endless welcome" => Reaction::Endless(200),
            _ => Reaction::HangUp,
        }
    })
    .await;
    let mut quick = target.target(8);
    quick.chain[0].timeout = Duration::from_millis(200);
    let lane = Setup::new(dir.path(), quick).start().await;
    let names = ["redirect", "drip", "endless refusal", "endless welcome", "hang up"];
    lane.send(&names.map(help));
    let all = lane.accepted(names.len()).await;
    for incident in &all {
        let expected = if &*incident.vehicle_id == "endless welcome" { 1 } else { 2 };
        assert_eq!(incident.notices.attempts, expected, "{incident:?}");
    }
    assert!(target.url().contains("token"));
    let told = serde_json::to_string(&all).unwrap();
    assert!(!told.contains("token"), "the url's path may be a secret: {told}");
    lane.stop().await;
}
