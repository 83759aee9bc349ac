//! Calls for help in a cluster: one desk and one trail, whichever door an alarm comes through and whoever is killed. Each vehicle is called about under one
//! key, nothing that was answered `stored` is lacking afterwards, and the trail is one chain at every node.

use serde_json::{Value, json};

use super::call_scene::{Calls, PATIENCE};
use super::nodes::{Cluster, status};
use super::scene::rounds;
use super::streams::delete;
use crate::brokers::Brokers;
use crate::targets::BadTarget;
use crate::vagn::{Vagn, command, eventually_within, report};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_all_doors_go_out_under_one_key_though_leader_and_brokers_are_killed() {
    let mut calls = Calls::begin().await;
    calls.call_everywhere().await;
    calls.all_accepted().await;
    calls.all_recorded().await;
    // A person's deed at a node that does not lead is seen at all.
    let leader = calls.leader().await;
    let other = (leader + 1) % 3;
    let vehicle = calls.called.first().unwrap().clone();
    let incident = calls.incident(other, &vehicle).await;
    let deed = format!("/api/v1/incidents/{}/acknowledge", incident["id"].as_str().unwrap());
    let (code, answer) = calls.cluster.node(other).post(&deed, json!({"by": "anna"}).to_string()).await;
    assert_eq!(code, 200, "{answer}");
    for node in 0..3 {
        eventually_within(PATIENCE, "the deed at each node", async || {
            calls.incident(node, &vehicle).await["state"] == "acknowledged"
        })
        .await;
    }
    // The leader is killed with what it has under way, and comes back.
    calls.call_at(leader).await;
    calls.kill(leader);
    calls.call_everywhere().await;
    calls.all_accepted().await;
    let second = calls.leader().await;
    assert_ne!(second, leader);
    calls.cluster.start_again(leader);
    calls.all_recorded().await;
    // Without brokers calls go out, and persons hear that nothing can be recorded.
    calls.all_brokers("kill");
    (0..3).for_each(|node| calls.send_at(node, &format!("alone at {node}")));
    calls.all_accepted().await;
    let resolve = format!("/api/v1/incidents/{}/resolve", incident["id"].as_str().unwrap());
    let (code, answer) = calls.cluster.node(other).post(&resolve, json!({"by": "anna"}).to_string()).await;
    assert!(code == 503 && answer.to_string().contains("could record it in time"), "{code} {answer}");
    calls.all_brokers("start");
    calls.cluster.brokers.order("healthy");
    calls.leader().await;
    calls.call_everywhere().await;
    calls.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_shows_what_its_door_calls_about_while_no_leader_can_record_and_then_it_is_recorded_once() {
    let mut calls = Calls::begin().await;
    for broker in 1..=3 {
        calls.cluster.brokers.order(&format!("kill {broker}"));
    }
    let vehicles: Vec<_> = (0..3).map(|node| format!("alone at {node}")).collect();
    for (node, vehicle) in vehicles.iter().enumerate() {
        calls.cluster.node(node).send(&report(vehicle, 59.3, 18.0, true));
        calls.called.insert(vehicle.clone());
    }
    let mut ids = Vec::new();
    for (node, vehicle) in vehicles.iter().enumerate() {
        // The door of the leader's own node calls some seconds after the leader has.
        eventually_within(
            PATIENCE,
            &format!("node {node} to show its call and what came of it"),
            async || {
                let shown = calls.incident(node, vehicle).await;
                shown["state"] == "notified"
                    && shown["recorded"] == false
                    && shown["call"]["unrecorded"] == true
            },
        )
        .await;
        let shown = calls.incident(node, vehicle).await;
        let id = shown["id"].as_str().unwrap().to_owned();
        assert_eq!(shown["call"]["latest"][0]["outcome"], "accepted", "{shown}");
        let one = calls.cluster.node(node).json(&format!("/api/v1/incidents/{id}")).await;
        assert_eq!((&one["recorded"], one["ledger"].as_array().unwrap().len()), (&json!(false), 1), "{one}");
        assert_eq!((&one["trail"][0]["action"], &one["trail"][0]["seq"]), (&json!("opened"), &json!(0)));
        // It is what this door knows, and nobody else.
        let listed = calls.cluster.node(node).json("/api/v1/incidents?state=notified").await;
        assert_eq!(listed["incidents"].as_array().unwrap().len(), 1, "{listed}");
        eventually_within(PATIENCE, "the metric", async || {
            (calls.cluster.node(node).metric("vagn_incidents_open").await - 1.0).abs() < 0.1
        })
        .await;
        // What a person wants is not done, and not said to be.
        let deed = format!("/api/v1/incidents/{id}/acknowledge");
        let (code, answer) = calls.cluster.node(node).post(&deed, json!({"by": "anna"}).to_string()).await;
        assert_eq!((code, &answer["type"]), (503, &json!("urn:vagn:problem:in-doubt")), "{answer}");
        ids.push(id);
    }
    for broker in 1..=3 {
        calls.cluster.brokers.order(&format!("start {broker}"));
    }
    calls.cluster.brokers.order("healthy");
    calls.leader().await;
    calls.all_recorded().await;
    for node in 0..3 {
        let listed = calls.cluster.node(node).json("/api/v1/incidents?limit=1000").await;
        let listed = listed["incidents"].as_array().unwrap();
        let mut shown: Vec<_> = listed
            .iter()
            .map(|one| (one["vehicle_id"].as_str().unwrap(), one["id"].as_str().unwrap()))
            .collect();
        shown.sort_unstable();
        let all = vehicles.iter().zip(&ids).map(|(vehicle, id)| (vehicle.as_str(), id.as_str()));
        assert_eq!(shown, all.collect::<Vec<_>>(), "at node {node}");
    }
    calls.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_stopped_says_farewell_and_another_leads() {
    let mut calls = Calls::begin().await;
    let leader = calls.leader().await;
    calls.call_everywhere().await;
    calls.cluster.stop(leader);
    let second = calls.leader().await;
    assert_ne!(second, leader);
    calls.call_everywhere().await;
    calls.cluster.start_again(leader);
    calls.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_other_targets_leads_only_when_a_person_says_so() {
    let [target, other] = [(); 2].map(|()| BadTarget::accepting());
    let mut cluster = Cluster::over(Brokers::start());
    cluster.launch_by(0, command(), &["--emergency-url", &target.url]);
    cluster.node_mut(0).wait_ready();
    let leader = |cluster: &Cluster, node: usize| status(&cluster.dir(node))["trail"]["leader"].clone();
    let patience = PATIENCE;
    eventually_within(patience, "the first node to lead", async || leader(&cluster, 0) == "node-0").await;
    cluster.launch_by(1, command(), &["--emergency-url", &other.url]);
    cluster.node_mut(1).wait_ready();
    eventually_within(patience, "a warning at the other", async || {
        cluster.node(1).ops("/readyz").await.1.contains("calls for help, settings")
    })
    .await;
    assert!(cluster.node(1).metric("vagn_cluster_trail_settings_differ").await > 0.5);
    cluster.kill(0);
    // It would have claimed after 3 s.
    eventually_within(patience, "no leader", async || {
        cluster.node(1).metric("vagn_cluster_trail_silent_seconds").await > 8.0
    })
    .await;
    assert_eq!(leader(&cluster, 1), Value::Null);
    let said = command().args(["cluster", "lead", "--data-dir"]).arg(cluster.dir(1)).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    eventually_within(patience, "the other to lead", async || leader(&cluster, 1) == "node-1").await;
    // Where nothing is broken there is nothing to begin anew.
    let said =
        command().args(["cluster", "repair", "--trail", "--data-dir"]).arg(cluster.dir(1)).output().unwrap();
    let why = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.code() == Some(1) && why.contains("not broken"), "{said:?}");
}

/// Nobody says `vagn cluster lead`: most nodes have the new targets, and none the old ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_a_node_leads_by_itself_when_all_were_given_other_targets_one_after_the_other() {
    let [target, other] = [(); 2].map(|()| BadTarget::accepting());
    let mut cluster = Cluster::over(Brokers::start());
    (0..3).for_each(|node| cluster.launch_by(node, command(), &["--emergency-url", &target.url]));
    (0..3).for_each(|node| cluster.node_mut(node).wait_ready());
    cluster.wait_whole().await;
    let trail = |cluster: &Cluster, node: usize| status(&cluster.dir(node))["trail"].clone();
    let leads = |cluster: &Cluster| (0..3).find(|node| trail(cluster, *node)["leads"] == true);
    eventually_within(PATIENCE, "a leader", async || leads(&cluster).is_some()).await;
    // The leader goes last: the others do not lead before that.
    let first = leads(&cluster).expect("it leads");
    let mut order: Vec<usize> = (0..3).filter(|node| *node != first).collect();
    order.push(first);
    for node in order {
        cluster.stop(node);
        cluster.launch_by(node, command(), &["--emergency-url", &other.url]);
        cluster.node_mut(node).wait_ready();
        cluster.wait_whole().await;
        if node != first {
            assert_eq!(
                (leads(&cluster), &trail(&cluster, node)["differs"]),
                (Some(first), &Value::Bool(true))
            );
        }
    }
    eventually_within(PATIENCE, "a leader with the new targets", async || {
        leads(&cluster).is_some() && (0..3).all(|node| trail(&cluster, node)["differs"] == false)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_machine_without_brokers_has_open_is_called_about_by_the_cluster_that_it_joins() {
    let target = BadTarget::accepting();
    let mut cluster = Cluster::over(Brokers::start());
    let dir = cluster.dir(0);
    let raise = async |machine: &Vagn, vehicle: &str, state: &str| {
        machine.send(&report(vehicle, 59.3, 18.0, true));
        eventually_within(PATIENCE, "the incident at the machine", async || {
            let listed = machine.json("/api/v1/incidents?limit=1000").await;
            let mut all = listed["incidents"].as_array().unwrap().iter();
            all.any(|one| one["vehicle_id"] == vehicle && one["state"] == state && one["recorded"] == true)
        })
        .await;
    };
    // The target accepts one, and then nobody answers any more.
    let machine = Vagn::start(&dir, &["--emergency-url", &target.url]);
    raise(&machine, "accepted", "notified").await;
    assert!(machine.stop().0.success());
    let machine = Vagn::start(&dir, &["--emergency-url", "http://127.0.0.1:1/calls"]);
    raise(&machine, "waiting", "open").await;
    assert!(machine.stop().0.success());
    assert!(!target.openings().contains_key("waiting"));

    (0..3).for_each(|node| cluster.launch_by(node, command(), &["--emergency-url", &target.url]));
    (0..3).for_each(|node| cluster.node_mut(node).wait_ready());
    let mut calls = Calls::over(cluster, target).await;
    calls.called.extend(["accepted", "waiting"].map(str::to_owned));
    calls.all_accepted().await;
    calls.all_recorded().await;
    for node in 0..3 {
        assert_eq!(calls.incident(node, "accepted").await["state"], "notified");
    }
    // Another run of the same node takes nothing over again.
    calls.cluster.stop(0);
    calls.cluster.launch_by(0, command(), &["--emergency-url", &calls.target.url]);
    calls.cluster.node_mut(0).wait_ready();
    calls.call_at(0).await;
    calls.all_accepted().await;
    let openings = |vehicle: &str| {
        let all = calls.target.answered();
        all.iter().filter(|heard| heard.is_of_type("incident.opened") && heard.vehicle() == vehicle).count()
    };
    assert_eq!(openings("accepted"), 1, "its target had accepted it before");
    calls.end().await;
}

/// Has a node begin the trail anew. Returns the exit code, and what the command says is wrong.
fn repair(calls: &Calls, node: usize) -> (Option<i32>, String) {
    let mut repair = command();
    repair.args(["cluster", "repair", "--trail", "--data-dir"]).arg(calls.cluster.dir(node));
    let said = repair.output().unwrap();
    (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_that_is_deleted_with_open_incidents_is_begun_anew_with_all_of_them() {
    let mut calls = Calls::begin().await;
    for epoch in 1..=rounds(1, 6) {
        calls.call_everywhere().await;
        calls.all_recorded().await;
        let vehicle = calls.called.last().unwrap().clone();
        let incident = calls.incident(0, &vehicle).await;
        let deed = format!("/api/v1/incidents/{}/acknowledge", incident["id"].as_str().unwrap());
        if incident["state"] == "notified" {
            let (code, answer) = calls.cluster.node(0).post(&deed, json!({"by": "anna"}).to_string()).await;
            assert_eq!(code, 200, "{answer}");
        }
        delete(&calls.cluster, &format!("trail-{epoch}"));
        (0..3).for_each(|node| calls.send_at(node, &format!("without trail {epoch} at {node}")));
        calls.all_accepted().await;
        for node in 0..3 {
            eventually_within(PATIENCE, "each node to know", async || {
                calls.trail(node)["stopped"].is_string()
            })
            .await;
            let warned = calls.cluster.node(node).ops("/readyz").await.1;
            assert!(warned.contains("cluster repair --trail"), "{warned}");
        }
        (0..3).for_each(|node| calls.send_at(node, &format!("stopped {epoch} at {node}")));
        calls.all_accepted().await;
        let by = calls.chance.usize(0..3);
        let said = repair(&calls, by);
        assert_eq!(said.0, Some(0), "{}", said.1);
        calls.leader().await;
        calls.all_recorded().await;
        for node in 0..3 {
            assert_eq!(calls.incident(node, &vehicle).await["state"], "acknowledged");
        }
    }
    calls.call_everywhere().await;
    calls.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_leaders_and_brokers_are_killed_in_turn_and_no_call_is_lost() {
    let mut calls = Calls::begin().await;
    for round in 0..rounds(1, 12) {
        let leader = calls.leader().await;
        match round % 3 {
            0 => {
                calls.call_at(leader).await;
                calls.kill(leader);
                calls.call_everywhere().await;
                calls.cluster.start_again(leader);
            }
            1 => {
                let broker = calls.chance.u8(1..=3);
                calls.kill(leader);
                calls.cluster.brokers.order(&format!("kill {broker}"));
                calls.call_everywhere().await;
                calls.all_accepted().await;
                calls.cluster.brokers.order(&format!("start {broker}"));
                calls.cluster.brokers.order("healthy");
                calls.cluster.start_again(leader);
            }
            _ => {
                calls.all_brokers("kill");
                (0..3).for_each(|node| calls.send_at(node, &format!("round {round} at {node}")));
                calls.all_accepted().await;
                calls.all_brokers("start");
                calls.cluster.brokers.order("healthy");
            }
        }
        calls.all_accepted().await;
    }
    calls.end().await;
}
