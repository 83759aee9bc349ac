//! Leaders of calls for help at bad moments: killed around the answer of a target, stopped for so long that another one leads, and with clocks that differ.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::call_scene::{Calls, NO_TURNS, PATIENCE, target_settings};
use super::nodes::Cluster;
use super::scene::rounds;
use crate::brokers::Brokers;
use crate::clock_doubts::WallClock;
use crate::targets::{BadTarget, Heard, answer, halt};
use crate::vagn::{command, eventually_within};

/// Longer than another node waits before it leads.
const STANDSTILL: Duration = Duration::from_secs(20);

/// What a target does to the leader at its next notice.
#[derive(Default)]
struct Trap {
    /// Process of the leader; 0: nothing is done.
    pid: AtomicU64,
    /// The leader is stopped before the answer, so that it surely never has it.
    halts: AtomicBool,
    /// Time from the answer to the kill, µs.
    delay_us: AtomicU64,
    has_sprung: AtomicBool,
}

impl Trap {
    fn arm(&self, pid: u32, halts: bool, delay: Duration) {
        self.has_sprung.store(false, Ordering::SeqCst);
        self.halts.store(halts, Ordering::SeqCst);
        self.delay_us.store(delay.as_micros() as u64, Ordering::SeqCst);
        self.pid.store(pid.into(), Ordering::SeqCst);
    }

    /// Starts a target that accepts all, and kills the leader when the trap is armed.
    fn start(self: &Arc<Self>) -> BadTarget {
        let trap = self.clone();
        BadTarget::start(move |_, stream| {
            let pid = trap.pid.swap(0, Ordering::SeqCst);
            if pid == 0 {
                return answer(stream, 200);
            }
            if trap.halts.load(Ordering::SeqCst) {
                halt(pid);
            }
            let answered = answer(stream, 200);
            std::thread::sleep(Duration::from_micros(trap.delay_us.load(Ordering::SeqCst)));
            assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
            trap.has_sprung.store(true, Ordering::SeqCst);
            answered
        })
    }
}

/// In half of the rounds the leader never has the answer, in the others it is killed up to 20 ms later: before, while or after it records the
/// acceptance. Those who call do so through the leader's own door, or through both others at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_killed_between_an_acceptance_and_its_entry_costs_no_call_and_no_second_key() {
    let trap = Arc::new(Trap::default());
    let mut calls = Calls::begin_with(trap.start(), NO_TURNS).await;
    for round in 0..rounds(4, 60) {
        let leader = calls.leader().await;
        let (halts, own_door) = (round % 2 == 0, round % 4 < 2);
        let delay = Duration::from_micros(calls.chance.u64(..20_000));
        trap.arm(calls.cluster.node(leader).pid(), halts, delay);
        let doors = calls.running().into_iter().filter(|node| (*node == leader) == own_door);
        for node in doors.collect::<Vec<_>>() {
            calls.send_at(node, &format!("round {round} at {node}"));
        }
        eventually_within(PATIENCE, "the leader to be killed", async || {
            trap.has_sprung.load(Ordering::SeqCst)
        })
        .await;
        calls.kill(leader);
        calls.all_accepted().await;
        assert_ne!(calls.leader().await, leader);
        calls.cluster.start_again(leader);
    }
    let (openings, told) = (calls.target.openings().len(), calls.target.answered().len());
    eprintln!("{told} notices about {openings} vehicles");
    // What a leader does not know to be accepted the next one says again.
    assert!(told > openings, "no notice was repeated");
    calls.end().await;
}

/// Returns the term of the leader that numbered a notice; `None` for an opening, whose key is the id of its incident.
fn term(heard: &Heard) -> Option<u64> {
    let number = heard.key.strip_prefix(heard.body["incident_id"].as_str().unwrap())?.strip_prefix('-')?;
    Some(number.parse::<u64>().unwrap() >> 20)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_a_leader_that_stands_still_for_20_s_is_deposed_and_says_nothing_under_its_old_keys() {
    let target = BadTarget::accepting();
    let mut calls = Calls::begin_with(target, "escalate_after = \"4s\"\n").await;
    for round in 0..rounds(1, 3) {
        let first = calls.leader().await;
        let old_term = calls.trail(first)["term"].as_u64().unwrap();
        calls.call_everywhere().await;
        calls.all_accepted().await;
        calls.all_recorded().await;
        eventually_within(PATIENCE, "a notice under a number of its term", async || {
            calls.target.answered().iter().any(|heard| term(heard) == Some(old_term))
        })
        .await;
        // It has something under way.
        calls.send_at(first, &format!("round {round} at {first}"));
        sleep(Duration::from_micros(calls.chance.u64(..20_000))).await;
        calls.cluster.node(first).signal("STOP");
        let stopped = Instant::now();
        eprintln!("node {first} leads, and is stopped");
        let others: Vec<usize> = calls.running().into_iter().filter(|node| *node != first).collect();
        let second = calls.leader_of(&others).await;
        for node in others {
            calls.call_at(node).await;
        }
        let new_term = calls.trail(second)["term"].as_u64().unwrap();
        assert!(new_term > old_term, "{new_term} after {old_term}");
        sleep(STANDSTILL.saturating_sub(stopped.elapsed())).await;
        let before = calls.target.answered().len();
        calls.cluster.node(first).signal("CONT");
        eprintln!("node {first} goes on; node {second} leads");
        let deposed = "vagn_cluster_trail_events_total{event=\"deposed\"}";
        eventually_within(PATIENCE, "the first leader to know", async || {
            calls.cluster.node(first).metric(deposed).await > 0.5
        })
        .await;
        assert_eq!(calls.leader().await, second);
        calls.call_everywhere().await;
        calls.all_accepted().await;
        calls.all_recorded().await;
        eventually_within(PATIENCE, "turns to go on under the new leader", async || {
            calls.target.answered()[before..].iter().any(|heard| term(heard) == Some(new_term))
        })
        .await;
        let late: Vec<Heard> = calls.target.answered().split_off(before);
        let late: Vec<&Heard> = late.iter().filter(|heard| term(heard) == Some(old_term)).collect();
        assert!(late.is_empty(), "said by the leader of before: {late:?}");
    }
    calls.resolve_all().await;
    calls.end().await;
}

/// Length of a turn in the test of clocks.
const TURN: Duration = Duration::from_secs(6);

/// Two nodes of which one is 5 s ahead lead in turn. Where the one that is ahead follows, a turn may end 5 s early; where the other does, it is never longer than a turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_leaders_whose_clocks_are_5_s_apart_hold_up_no_turn_and_repeat_nothing_in_a_burst() {
    let folder = tempfile::tempdir().unwrap();
    let heard_at = Arc::new(parking_lot::Mutex::new(Vec::<(Instant, Heard, bool)>::new()));
    let refuses = Arc::new(AtomicBool::new(true));
    let (log, refusing) = (heard_at.clone(), refuses.clone());
    let target = BadTarget::start(move |heard, stream| {
        let is_refused = refusing.load(Ordering::SeqCst) && heard.vehicle().starts_with("refused");
        log.lock().push((Instant::now(), heard.clone(), is_refused));
        answer(stream, if is_refused { 503 } else { 200 })
    });
    let further = format!("escalate_after = \"{}s\"\n", TURN.as_secs());
    let brokers = Brokers::start();
    let mut cluster = Cluster::over_with(brokers, &target_settings(&target, &further));
    let clocks = ["+5s", "+0"].map(|off| {
        let own = folder.path().join(off);
        std::fs::create_dir(&own).unwrap();
        WallClock::new(&own, off)
    });
    let launch = |cluster: &mut Cluster, node: usize| {
        let mut by = command();
        by.envs(clocks[node].environment());
        // The kernel knows nothing of the clock that is set here.
        cluster.launch_by(node, by, &["--clock-kernel", "false"]);
    };
    (0..2).for_each(|node| launch(&mut cluster, node));
    (0..2).for_each(|node| cluster.node_mut(node).wait_ready());
    cluster.wait_whole().await;
    let mut calls = Calls::over(cluster, target).await;
    let began = Instant::now();
    for node in 0..2 {
        calls.call_at(node).await;
        calls.send_at(node, &format!("refused at {node}"));
    }
    calls.all_accepted().await;
    let turns = |vehicle: &str| -> Vec<Instant> {
        let all = heard_at.lock();
        let of_vehicle = all.iter().filter(|(_, heard, _)| heard.vehicle() == vehicle);
        let escalations = of_vehicle.filter(|(_, heard, _)| heard.is_of_type("incident.escalated"));
        escalations.map(|(at, ..)| *at).collect()
    };
    let accepted: BTreeSet<String> =
        calls.called.iter().filter(|vehicle| !vehicle.starts_with("refused")).cloned().collect();
    let hand_overs = rounds(4, 12);
    for _ in 0..hand_overs {
        sleep(Duration::from_millis(calls.chance.u64(500..TURN.as_millis() as u64))).await;
        let leader = calls.leader().await;
        let before: BTreeMap<_, _> = accepted.iter().map(|vehicle| (vehicle, turns(vehicle).len())).collect();
        calls.kill(leader);
        assert_eq!(calls.leader().await, 1 - leader);
        eventually_within(PATIENCE, "each turn to pass on", async || {
            before.iter().all(|(vehicle, count)| turns(vehicle).len() > *count)
        })
        .await;
        launch(&mut calls.cluster, leader);
        calls.cluster.node_mut(leader).wait_ready();
    }
    let (elapsed, took) = (began.elapsed(), calls.target.answered().len());
    for vehicle in &accepted {
        let at: Vec<f64> = turns(vehicle).iter().map(|at| (*at - began).as_secs_f64()).collect();
        eprintln!("{vehicle}: turns after {at:.1?} s");
        // One more for each hand-over, whose turn may have ended early.
        let most = elapsed.as_secs() / TURN.as_secs() + hand_overs as u64 + 1;
        assert!(at.len() as u64 <= most, "{} turns in {elapsed:?}", at.len());
    }
    let tries = heard_at.lock().iter().filter(|(.., is_refused)| *is_refused).count() as u64;
    eprintln!("{tries} attempts were refused, of {took} in {elapsed:?}");
    // Two vehicles: a leader begins its pauses anew, at 0.5 s, and each turn brings one more.
    let most = 2 * (elapsed.as_secs() / 2 + 8 * (hand_overs as u64 + 1));
    assert!(tries > 0 && tries <= most, "{tries} attempts, at most {most}");
    refuses.store(false, Ordering::SeqCst);
    calls.all_accepted().await;
    calls.all_recorded().await;
    calls.resolve_all().await;
    calls.end().await;
}
