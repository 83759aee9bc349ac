//! A trail whose stream runs through its room, stores that copy others, and a trail that is begun anew.

use serde_json::Value;
use tokio::time::Instant;
use vagn_cluster::NodeId;
use vagn_cluster::trail::{AlarmId, TrailHappened, TrailRefusal, TrailRepair};

use crate::desk::Meaning::Opening;
use crate::processes::Processes;
use crate::rig::{QUIET, until};
use crate::service::Service;

/// Room of the stream, which a few hundred calls fill.
const ROOM: (u64, u64) = (48 << 10, 3_600_000);

/// Asks the brokers something about the stream of an epoch.
async fn ask(processes: &Processes, what: &str, set: &str, epoch: u32) -> Value {
    let client = async_nats::connect(&processes.addresses[0]).await.unwrap();
    let subject = format!("$JS.API.STREAM.{what}.vagn-{set}-trail-{epoch}");
    serde_json::from_slice(&client.request(subject, "".into()).await.unwrap().payload).unwrap()
}

/// Lets vehicles call at the doors of these nodes, until all hear `stored` and the target has accepted all.
async fn raise(service: &Service, at: &[usize], vehicles: std::ops::Range<u64>) {
    let raised: Vec<(usize, AlarmId)> = vehicles
        .clone()
        .map(|vehicle| at[vehicle as usize % at.len()])
        .zip(vehicles.clone())
        .map(|(at, vehicle)| (at, service.nodes[at].raise(vehicle)))
        .collect();
    service.answered(&raised, 60).await;
    service.called(vehicles.map(Opening), 60).await;
}

/// Waits until all stores have the same, with this many incidents.
async fn alike(service: &Service, count: usize) {
    until("all stores have the same", 60, async || {
        let incidents = service.nodes[0].incidents();
        let is_told = incidents.values().all(|incident| incident.told);
        let are_alike = service.nodes.iter().all(|node| node.incidents() == incidents);
        is_told && incidents.len() == count && are_alike
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_little_room_runs_through_several_times_of_it_and_who_was_away_copies() {
    let mut service = Service::in_room(&QUIET, "room", ROOM).await;
    raise(&service, &[0, 1, 2], 0..30).await;
    // A node that follows is away, and comes back when the stream has gone on without it.
    let leader = service.leader().await;
    let away = (leader + 1) % 3;
    let there = [leader, (leader + 2) % 3];
    service.end(away).await;
    let (mut vehicles, mut written) = (30, 0);
    while written < 4 * ROOM.0 {
        raise(&service, &there, vehicles..vehicles + 20).await;
        vehicles += 20;
        let state = ask(&QUIET, "INFO", "room", 1).await["state"].clone();
        let figure = |name: &str| state[name].as_u64().unwrap();
        assert!(figure("bytes") <= ROOM.0, "{state}");
        written = figure("bytes") * figure("last_seq") / figure("messages").max(1);
    }
    let state = ask(&QUIET, "INFO", "room", 1).await["state"].clone();
    assert!(state["first_seq"].as_u64().unwrap() > 60, "{state}");
    assert!(
        there.iter().any(|at| service.nodes[*at].was_told(|it| matches!(it, TrailHappened::PurgedForRoom)))
    );
    let since = Instant::now();
    service.restart_in(&QUIET, away, ROOM);
    alike(&service, vehicles as usize).await;
    eprintln!("{vehicles} incidents are copied, and the rest followed, after {:?}", since.elapsed());
    assert!(service.nodes[away].was_told(|it| matches!(it, TrailHappened::CopyTaken)));
    // A node without a disk copies too, and any of them may lead then.
    service.end(away).await;
    service.nodes[away].lose_store();
    service.restart_in(&QUIET, away, ROOM);
    alike(&service, vehicles as usize).await;
    for at in there {
        service.end(at).await;
    }
    until("it leads", 60, async || service.leads(away).await).await;
    raise(&service, &[away], vehicles..vehicles + 3).await;
    there.into_iter().for_each(|at| service.restart_in(&QUIET, at, ROOM));
    alike(&service, vehicles as usize + 3).await;
    service.target.check_keys();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trail_whose_stream_is_gone_is_begun_anew_from_the_store_that_has_most() {
    let mut service = Service::in_room(&QUIET, "anew", ROOM).await;
    raise(&service, &[0, 1, 2], 0..30).await;
    alike(&service, 30).await;
    assert_eq!(service.nodes[0].handle().repair().await.unwrap(), Err(TrailRefusal::Sound));
    // One that knows less is not asked.
    service.end(2).await;
    raise(&service, &[0, 1], 30..40).await;
    let deleted = ask(&QUIET, "DELETE", "anew", 1).await;
    assert_eq!(deleted["success"], Value::Bool(true), "{deleted}");
    service.restart_in(&QUIET, 2, ROOM);
    until("all find it gone", 60, async || {
        let mut stopped = 0;
        for node in &service.nodes {
            stopped += u32::from(node.view().await.stopped.is_some());
        }
        stopped == 3
    })
    .await;
    let refused = service.nodes[2].handle().repair().await.unwrap();
    let Err(TrailRefusal::HasMore(NodeId(named))) = refused else { panic!("{refused:?}") };
    let most = &service.nodes[named as usize - 1];
    assert_eq!(most.handle().repair().await.unwrap(), Ok(TrailRepair::Begun));
    until("all follow the new one", 60, async || {
        let mut follow = 0;
        for node in &service.nodes {
            let view = node.view().await;
            let epoch = view.trail.map(|trail| trail.epoch);
            follow += u32::from(epoch == Some(2) && view.stopped.is_none() && !view.lacks_copy);
        }
        follow == 3
    })
    .await;
    raise(&service, &[0, 1, 2], 40..50).await;
    alike(&service, 50).await;
    // A node that starts knows the epoch by the record.
    service.end(0).await;
    service.nodes[0].lose_store();
    service.restart_in(&QUIET, 0, ROOM);
    alike(&service, 50).await;
    service.leader().await;
    service.target.check_keys();
}
