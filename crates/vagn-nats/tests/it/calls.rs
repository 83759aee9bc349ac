//! Calls for help over real brokers: recorded once, called about under one key, and by the doors where nobody can record.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use tokio::time::Instant;
use vagn_cluster::NodeId;
use vagn_cluster::trail::{AlarmId, DeedOutcome, TrailHappened, Why};
use vagn_nats::{Brokers, Options};

use crate::desk::Incident;
use crate::desk::Meaning::{Opening, Over};
use crate::memory::Memory as Disk;
use crate::office::{Memory, Target};
use crate::processes::Processes;
use crate::rig::{Load, Machine, QUIET, assert_kept, connect, owned, until};
use crate::service::{Node, Service, kept, say_delay};

/// A vehicle calls at each door.
fn raise_at_each(service: &Service, from: u64) -> (Vec<u64>, Vec<(usize, AlarmId)>) {
    let each = (from..).zip(service.nodes.iter().enumerate());
    each.map(|(vehicle, (at, node))| (vehicle, (at, node.raise(vehicle)))).unzip()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_at_each_door_is_recorded_once_and_its_sender_hears_stored() {
    let service = Service::begin(&QUIET, "calls").await;
    let is_kept = |vehicle| service.nodes.iter().all(|node| node.incident(vehicle).is_some_and(|it| it.told));
    // Of one alone what came of the call is recorded too, though nothing else happens.
    service.nodes[0].raise(10);
    until("all stores know that it was told", 20, async || is_kept(10)).await;
    service.nodes[0].forget_answers();
    let (vehicles, alarms) = raise_at_each(&service, 1);
    service.answered(&alarms, 20).await;
    service.called(vehicles.iter().copied().map(Opening), 20).await;
    until("all stores know that it was told", 20, async || vehicles.iter().all(|id| is_kept(*id))).await;
    // One that heard nothing calls again: it is known, and nothing is recorded anew.
    let (_, again) = raise_at_each(&service, 1);
    assert_eq!(again, alarms);
    until("all hear it again", 20, async || {
        service.nodes.iter().zip(&alarms).all(|(node, (_, alarm))| node.stored() == [*alarm; 2])
    })
    .await;
    let alone =
        |node: &Node| node.was_told(|it| matches!(it, TrailHappened::CalledAlone(_, Why::Unanswered)));
    let were_alone = service.nodes.iter().any(alone);
    let trail = service.compare(&QUIET).await;
    assert_eq!((trail.claims.len(), trail.incidents.len()), (1, 4));
    for (vehicle, (_, alarm)) in vehicles.iter().zip(&alarms) {
        assert!(trail.of(*vehicle)[0].told);
        // The group that records it, and one that says that it was told. Where brokers were late there may be more.
        assert!(trail.groups[alarm] == 2 || were_alone, "{:?}", trail.groups);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_wants_is_in_the_trail_before_the_answer() {
    let service = Service::begin(&QUIET, "deeds").await;
    let (vehicles, alarms) = raise_at_each(&service, 1);
    service.answered(&alarms, 20).await;
    service.called(vehicles.iter().copied().map(Opening), 20).await;
    for (node, vehicle) in service.nodes.iter().zip(&vehicles) {
        assert_eq!(node.resolve(*vehicle).await.unwrap(), DeedOutcome::Done);
    }
    let refused = DeedOutcome::Refused(b"not open".to_vec());
    assert_eq!(service.nodes[0].resolve(9).await.unwrap(), refused);
    service.called(vehicles.iter().copied().map(Over), 20).await;
    // One that calls anew is told anew, under another key; one that repeats what is known is not.
    service.nodes[0].forget_answers();
    service.nodes[0].raise(1);
    service.answered(&alarms[..1], 20).await;
    service.nodes[0].report(1, 2);
    until("it is told anew", 20, async || service.target.of(Opening(1)).len() == 2).await;
    until("its sender hears `stored`", 20, async || service.nodes[0].stored().len() == 2).await;
    assert!(service.nodes[0].was_told(|it| matches!(it, TrailHappened::Reopened(_))));
    let trail = service.compare(&QUIET).await;
    assert!(vehicles.iter().all(|vehicle| trail.of(*vehicle).iter().any(|incident| incident.resolved)));
    assert_eq!(trail.of(1).iter().filter(|incident| !incident.resolved).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_in_order_says_farewell_and_another_leads() {
    let service = Service::begin(&QUIET, "farewell").await;
    let first = service.leader().await;
    let (vehicles, alarms) = raise_at_each(&service, 1);
    let told = Instant::now();
    service.nodes[first].handle().say_farewell().unwrap();
    until("it hands over", 20, async || {
        service.nodes[first].was_told(|it| matches!(it, TrailHappened::Deposed))
    })
    .await;
    let second = service.leader().await;
    eprintln!("another node leads {:?} after the farewell", told.elapsed());
    assert_ne!(first, second);
    service.answered(&alarms, 20).await;
    service.called(vehicles.iter().copied().map(Opening), 20).await;
    let terms: Vec<u64> = [first, second].iter().map(|at| service.nodes[*at].id).collect();
    let trail = service.compare(&QUIET).await;
    assert_eq!(trail.claims.iter().map(|(_, node)| *node).collect::<Vec<_>>(), terms);
    assert_eq!(trail.farewells, [trail.claims[0].0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_leads_when_the_leader_ends_and_goes_on_under_the_same_keys() {
    let mut service = Service::begin(&QUIET, "succession").await;
    service.target.is_deaf.store(true, Ordering::Relaxed);
    let (vehicles, alarms) = raise_at_each(&service, 1);
    service.answered(&alarms, 20).await;
    let first = service.leader().await;
    let tried = async || vehicles.iter().all(|vehicle| !service.target.of(Opening(*vehicle)).is_empty());
    until("the first leader tries", 20, tried).await;
    service.end(first).await;
    let ended = Instant::now();
    let second = service.leader().await;
    eprintln!("another node leads after {:?}", ended.elapsed());
    assert_ne!(first, second);
    service.target.is_deaf.store(false, Ordering::Relaxed);
    service.called(vehicles.iter().copied().map(Opening), 20).await;
    // The first one is back, and the trail has a third leader.
    service.restart(&QUIET, first);
    // With what the second one has noted: one that ends before makes the next one call again.
    let is_told = |id: &u64| service.nodes[first].incident(*id).is_some_and(|incident| incident.told);
    until("it follows", 20, async || vehicles.iter().all(is_told)).await;
    service.end(second).await;
    let third = service.leader().await;
    for vehicle in &vehicles {
        assert_eq!(service.nodes[third].resolve(*vehicle).await.unwrap(), DeedOutcome::Done);
    }
    service.called(vehicles.iter().copied().map(Over), 20).await;
    service.restart(&QUIET, second);
    let openings: Vec<_> = vehicles.iter().map(|vehicle| service.target.of(Opening(*vehicle))).collect();
    let accepted = openings.iter().map(|calls| calls.iter().filter(|call| call.is_accepted).count());
    assert_eq!(accepted.collect::<Vec<_>>(), [1; 3], "a leader goes on where the one before was");
    let ids: Vec<u64> = [first, second, third].iter().map(|at| service.nodes[*at].id).collect();
    let trail = service.compare(&QUIET).await;
    assert_eq!(trail.claims.iter().map(|(_, node)| *node).collect::<Vec<_>>(), ids);
    assert_eq!(trail.incidents.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_calls_though_neither_its_store_nor_any_broker_answers() {
    let options = Options::new(&["nats://127.0.0.1:9".to_owned()], "nobody", NodeId(1), 1).unwrap();
    let (target, stored) = (Arc::new(Target::default()), Arc::default());
    let office = Memory::open(1, Arc::default(), target.clone(), Arc::clone(&stored)).stuck();
    let mut node = Node::start_with(kept(Brokers::connect(options)), 1, office, stored);
    let since = Instant::now();
    node.raise(1);
    assert_eq!(node.resolve(1).await.unwrap(), DeedOutcome::Unavailable);
    until("the door calls", 10, async || target.has(Opening(1))).await;
    say_delay("alone", &target, 1, since);
    assert!(node.stored().is_empty());
    // Whoever has an alarm for a node that has ended hears it, and still has it.
    node.end().await;
    let given_back = node.handle().alarm(AlarmId(7), vec![7]);
    assert_eq!(given_back, Err(vec![7]));
    assert!(node.resolve(1).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_and_calls_for_help_go_over_the_same_connections() {
    let mut machines = Vec::new();
    let connect = |id| {
        let (brokers, incoming) = connect(&QUIET, "both", id);
        machines.push(Machine::over((brokers.clone(), incoming), "both", id, Disk::default()));
        // The driver of shards keeps the connections.
        (brokers, pending().boxed())
    };
    let service = Service::over("both", connect, Arc::default()).await;
    owned(&machines).await;
    let loads: Vec<Load> = machines.iter().map(Load::start).collect();
    for from in [1, 11, 21] {
        let (vehicles, alarms) = raise_at_each(&service, from);
        service.answered(&alarms, 20).await;
        service.called(vehicles.into_iter().map(Opening), 20).await;
        for load in &loads {
            load.goes_on(300, 20).await;
        }
    }
    for load in loads {
        assert_kept(&machines, load.stop()).await;
    }
    assert_eq!(service.compare(&QUIET).await.incidents.len(), 9);
}

/// Kills all brokers, and lets a vehicle call at each door until they are back.
async fn call_without_brokers(service: &Service, processes: &Processes, from: u64) {
    (1..=3).for_each(|broker| order(processes, &format!("kill {broker}")));
    let leader = service.leader_or_none().await;
    let since = Instant::now();
    let (vehicles, alarms) = raise_at_each(service, from);
    service.called(vehicles.iter().copied().map(Opening), 10).await;
    vehicles.iter().for_each(|vehicle| say_delay("without brokers", &service.target, *vehicle, since));
    for (at, alarm) in &alarms {
        let node = &service.nodes[*at];
        assert!(!node.stored().contains(alarm), "nothing is recorded");
        assert!(
            leader == Some(*at)
                || node.was_told(|it| matches!(it, TrailHappened::CalledAlone(_, Why::Unanswered)))
        );
    }
    assert_eq!(service.nodes[0].resolve(from).await.unwrap(), DeedOutcome::Unavailable);
    (1..=3).for_each(|broker| order(processes, &format!("start {broker}")));
    order(processes, "healthy");
    service.answered(&alarms, 60).await;
    for (vehicle, (at, _)) in vehicles.iter().zip(&alarms) {
        if leader != Some(*at) {
            assert!(service.nodes[*at].was_told(|it| matches!(it, TrailHappened::HandedOver(_))));
            let is_marked = |it: Incident| it.unrecorded && it.told;
            until("all stores have it as it was", 20, async || {
                service.nodes.iter().all(|node| node.incident(*vehicle).is_some_and(is_marked))
            })
            .await;
        }
    }
}

fn order(processes: &Processes, command: &str) {
    // The nodes run on other threads meanwhile.
    drop(tokio::task::block_in_place(|| processes.order(command)));
}

#[tokio::test(flavor = "multi_thread")]
async fn doors_call_while_all_brokers_are_gone_and_hand_over_when_they_are_back() {
    let processes = Processes::start(&[]);
    let service = Service::begin(&processes, "gone").await;
    let (vehicles, alarms) = raise_at_each(&service, 1);
    service.answered(&alarms, 20).await;
    service.called(vehicles.into_iter().map(Opening), 20).await;
    call_without_brokers(&service, &processes, 11).await;
    let leader = service.leader().await;
    let trail = service.compare(&processes).await;
    assert_eq!(trail.incidents.len(), 6);
    eprintln!("{} entries, {} claims, node {leader} led last", trail.last, trail.claims.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn long_leaders_and_brokers_die_in_turn_and_each_call_goes_out_under_one_key() {
    if std::env::var_os("VAGN_LONG").is_none() {
        return;
    }
    let processes = Processes::start(&[]);
    let mut service = Service::begin(&processes, "long").await;
    say_idle(&service).await;
    let mut raised = Vec::new();
    for round in 1..=10_u64 {
        let (vehicles, alarms) = raise_at_each(&service, 100 * round);
        raised.extend(vehicles);
        let leader = service.leader().await;
        match round % 3 {
            0 => call_without_brokers(&service, &processes, 100 * round + 50).await,
            1 => {
                // The leader and a broker at once.
                let broker = 1 + round % 3;
                service.end(leader).await;
                order(&processes, &format!("kill {broker}"));
                service.leader().await;
                order(&processes, &format!("start {broker}"));
                order(&processes, "healthy");
                service.restart(&processes, leader);
            }
            _ => {
                let broker = 1 + round % 3;
                order(&processes, &format!("pause {broker}"));
                service.leader().await;
                order(&processes, &format!("continue {broker}"));
                order(&processes, "healthy");
            }
        }
        service.leader().await;
        // What a node that was ended had in memory alone is repeated by its sender.
        let again: Vec<(usize, AlarmId)> = (100 * round..)
            .zip(service.nodes.iter().enumerate())
            .map(|(vehicle, (at, node))| (at, node.raise(vehicle)))
            .collect();
        assert_eq!(again, alarms);
        service.answered(&again, 60).await;
    }
    service.called(raised.iter().copied().map(Opening), 60).await;
    let trail = service.compare(&processes).await;
    assert!(raised.iter().all(|vehicle| trail.of(*vehicle).len() == 1));
    eprintln!("{} entries, {} claims, {} bytes", trail.last, trail.claims.len(), trail.bytes);
}

/// Says how long it takes from a door to the target while nothing is wrong, for the log.
async fn say_idle(service: &Service) {
    let mut delays = Vec::new();
    for vehicle in 10_000..10_100 {
        let since = Instant::now();
        let node = &service.nodes[vehicle as usize % 3];
        node.raise(vehicle);
        service.called([Opening(vehicle)], 20).await;
        let first = service.target.of(Opening(vehicle))[0].at;
        delays.push(first.duration_since(since));
    }
    delays.sort();
    eprintln!("from door to target: p50 {:?}, p99 {:?}, most {:?}", delays[49], delays[98], delays[99]);
}
