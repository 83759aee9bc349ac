//! Three nodes over brokers, with a target over HTTP: one desk, one key for each incident, one trail.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use vagn_cluster::NodeId;
use vagn_cluster::trail::Duty;

use super::machine::Machine;
use super::processes::Processes;
use crate::desk::{Request, RequestKind};
use crate::id::IncidentId;
use crate::record::store::FILE;
use crate::tests::setup::help;
use crate::tests::target::TestTarget;
use crate::trail::{ClosedStore, Head};
use crate::{DeedError, Filter, RequestOutcome, Selection, State};

const WITHIN: Duration = Duration::from_secs(20);

/// Waits until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so().await {
        assert!(Instant::now() < end, "not within a minute: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until one node leads and all know it.
async fn leader(nodes: &[Machine]) -> usize {
    let mut found = 0;
    until("one leads", async || {
        let mut views = Vec::new();
        for node in nodes {
            views.push((node.id, node.view().await));
        }
        let leads = views.iter().position(|(_, view)| view.duty == Duty::Full);
        found = leads.unwrap_or(0);
        leads.is_some_and(|at| views.iter().all(|(_, view)| view.leader == Some(NodeId(views[at].0))))
    })
    .await;
    found
}

/// Keys of openings by vehicle.
fn keys(target: &TestTarget) -> BTreeMap<String, BTreeSet<String>> {
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for heard in target.heard().iter().filter(|heard| heard.body["type"] == "incident.opened") {
        let key = heard.header("idempotency-key").unwrap().to_owned();
        keys.entry(heard.vehicle().to_owned()).or_default().insert(key);
    }
    keys
}

/// Waits until all nodes have applied the same.
async fn agree(nodes: &[Machine]) {
    until("all have applied the same", async || {
        let mut places = BTreeSet::new();
        for node in nodes {
            let view = node.view().await;
            places.insert((view.received, view.running_hash, view.unsaved, node.lane.status().waiting));
        }
        places.len() == 1
            && places.first().is_some_and(|(.., unsaved, waiting)| (*unsaved, *waiting) == (0, 0))
    })
    .await;
}

async fn all_open(node: &Machine) -> Vec<crate::IncidentView> {
    node.handle.list(Filter::default(), 1_000, None, WITHIN).await.unwrap().incidents
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_call_each_incident_under_one_key_while_leaders_end_and_their_trail_is_one_chain() {
    let brokers = Processes::start(&[]);
    let target = TestTarget::accepting().await;
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let start = async |at: usize| {
        Machine::start(dirs[at].path(), &target, at as u64 + 1, &brokers.addresses, "desk").await
    };
    let mut nodes = vec![start(0).await, start(1).await, start(2).await];
    leader(&nodes).await;

    // Alarms at each door; their senders hear `stored` with the incident.
    let mut asked = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        for number in 0..5 {
            asked.push((at, node.ask(&help(&format!("bus {at} {number}")))));
        }
    }
    let mut incidents = BTreeSet::new();
    for (at, answer) in asked {
        let fates = answer.await.unwrap();
        incidents.insert(fates[0].incident.clone().unwrap_or_else(|| panic!("at {at}: {fates:?}")));
    }
    assert_eq!(incidents.len(), 15);
    until("those at each door are called about", async || keys(&target).len() == 15).await;

    // One vehicle at two doors, one after the other: one incident.
    agree(&nodes).await;
    let again = nodes[1].ask(&help("bus 0 0")).await.unwrap();
    assert!(incidents.contains(again[0].incident.as_ref().unwrap()));

    // A person at a node that does not lead.
    let at = leader(&nodes).await;
    let other = &nodes[(at + 1) % 3];
    let open = all_open(other).await;
    assert_eq!(open.len(), 15);
    let request = |action| Request { action, by: "Anna".into(), note: "car 4".into() };
    let id = open.iter().find(|view| &*view.vehicle_id == "bus 0 1").unwrap().id;
    let done = other.handle.act(id, request(RequestKind::Acknowledge), WITHIN).await.unwrap();
    assert!(
        matches!(&done, RequestOutcome::Done(detail) if detail.incident.state == State::Acknowledged),
        "{done:?}"
    );
    let late = nodes[at].handle.act(id, request(RequestKind::Acknowledge), WITHIN).await.unwrap();
    assert!(matches!(&late, RequestOutcome::Refused { by, .. } if &**by == "Anna"), "{late:?}");
    let chosen = Selection { vehicle_id_prefix: Some("bus 2".into()), ..Selection::default() };
    let many = other.handle.resolve_many(chosen, "Bo".into(), "over".into(), WITHIN).await.unwrap();
    assert_eq!((many.matched, many.resolved, many.recorded), (5, 5, true));

    // A vehicle whose incident is over calls anew, under another key.
    let anew = nodes[(at + 2) % 3].ask(&help("bus 2 1")).await.unwrap();
    assert!(!incidents.contains(anew[0].incident.as_ref().unwrap()), "{anew:?}");

    // The leader ends with alarms on their way, and comes back with the files it had.
    let ended = nodes.remove(at);
    for (number, node) in nodes.iter().enumerate() {
        node.send(&[help(&format!("late {number}"))]);
    }
    ended.send(&[help("late 2")]);
    until("its door has taken it", async || {
        ended.lane.status().waiting > 0 || keys(&target).contains_key("late 2")
    })
    .await;
    ended.end().await;
    leader(&nodes).await;
    nodes.insert(at, start(at).await);
    until("all are called about", async || {
        (0..3).all(|number| keys(&target).contains_key(&format!("late {number}")))
    })
    .await;
    leader(&nodes).await;
    agree(&nodes).await;
    for (vehicle, keys) in keys(&target) {
        let calls = if vehicle == "bus 2 1" { 2 } else { 1 };
        assert_eq!(keys.len(), calls, "{vehicle}: {keys:?}");
    }
    let of = async |node: &Machine| {
        let all = all_open(node).await;
        all.into_iter().map(|view| (view.id, view.state, view.vehicle_id)).collect::<Vec<_>>()
    };
    let first = of(&nodes[0]).await;
    assert_eq!((first.len(), of(&nodes[1]).await, of(&nodes[2]).await), (19, first.clone(), first));

    // Without a leader nothing of a person is done.
    for node in &mut nodes[1..] {
        node.end_driver().await;
    }
    nodes[0].end_driver().await;
    let alone = nodes[0].handle.act(id, request(RequestKind::Resolve), WITHIN).await;
    assert_eq!(alone, Err(DeedError::NoLeader));
    for node in nodes {
        node.end().await;
    }
    let heads: BTreeSet<Head> = dirs
        .iter()
        .map(|dir| ClosedStore::open(&dir.path().join(FILE)).unwrap().verify(&[]).unwrap().head)
        .collect();
    assert_eq!(heads.len(), 1, "one chain: {heads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vehicle_that_calls_at_two_doors_without_a_leader_has_one_incident_that_both_ids_lead_to() {
    let brokers = Processes::start(&[]);
    let target = TestTarget::accepting().await;
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut nodes = Vec::new();
    for (dir, id) in dirs.iter().zip(1..) {
        nodes.push(Machine::start(dir.path(), &target, id, &brokers.addresses, "doors").await);
    }
    let at = leader(&nodes).await;
    nodes.remove(at).end().await;
    // Doors call after 250 ms, and others claim after 3 s.
    let asked = nodes.iter().map(|node| node.ask(&help("bus 7"))).collect::<Vec<_>>();
    let mut heard = BTreeSet::new();
    for answer in asked {
        heard.insert(answer.await.unwrap()[0].incident.clone().expect("it is stored"));
    }
    let living = all_open(&nodes[0]).await[0].id;
    assert_eq!(heard, BTreeSet::from([living.to_string()]), "both senders hear the incident that goes on");
    agree(&nodes).await;
    let keys = &keys(&target)["bus 7"];
    let mut others = keys.iter().filter(|key| **key != living.to_string());
    let joined: IncidentId = others.next().expect("both doors have called").parse().unwrap();
    for node in &nodes {
        let detail = node.handle.get(joined, WITHIN).await.unwrap().expect("it leads on");
        assert_eq!((detail.incident.id, detail.joined_id), (living, Some(joined)));
        assert_eq!(node.handle.get(living, WITHIN).await.unwrap().unwrap().joined_id, None);
        assert_eq!(all_open(node).await.len(), 1);
        assert_eq!(node.handle.get(IncidentId::from_u128(9), WITHIN).await, Ok(None));
    }
    let request = Request { action: RequestKind::Acknowledge, by: "Anna".into(), note: "".into() };
    let other = &nodes[1 - leader(&nodes).await];
    let RequestOutcome::Done(done) = other.handle.act(joined, request, WITHIN).await.unwrap() else {
        panic!("it is done to the one that goes on");
    };
    let told = (done.incident.id, done.incident.state, done.joined_id);
    assert_eq!(told, (living, State::Acknowledged, Some(joined)));
    for node in nodes {
        node.end().await;
    }
}
