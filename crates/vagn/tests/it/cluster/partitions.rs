//! A site that is cut off, under load, with calls for help, and while a token is revoked. [Sites](super::sites) are network namespaces.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::call_scene::{Calls, NO_TURNS, target_settings};
use super::nodes::Cluster;
use super::outages::ANSWERED_WITHIN;
use super::readers::{Tally, ask};
use super::registry::{add_token, answers, code};
use super::scene::{PATIENCE, POLL, Scene, rounds};
use super::sites::{OUTSIDE, SITES, Sites, is_inside, run_inside, start};
use crate::targets::{BadTarget, answer};
use crate::vagn::{Vagn, client, eventually_within};

#[test]
fn long_a_site_that_is_cut_off_answers_with_its_mark_and_stores_nothing() {
    run_inside("long_inside_a_site");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_inside_a_site() {
    if !is_inside() {
        return;
    }
    let sites = Sites::make();
    let mut scene = Scene::begin_over(start("")).await;
    let first = scene.chance.usize(0..SITES);
    for round in 0..rounds(1, 3) {
        let lone = (first + round) % SITES;
        scene.random_time().await;
        scene.say(&format!("cut site {lone} off"));
        sites.cut(lone);
        // What was under way before is answered by then.
        sleep(ANSWERED_WITHIN).await;
        let (there, elsewhere): (Vec<_>, Vec<_>) =
            (Sites::others(lone).collect(), scene.ledger.through(lone));
        for other in there {
            let before = scene.ledger.through(other);
            eventually_within(PATIENCE, "the others to store", async || {
                scene.ledger.through(other).len() > before.len() + 500
            })
            .await;
        }
        let answer = ask(&client(), &scene.cluster.directory, lone).await.expect("it answers");
        scene.say(&format!("it lacks shards {:?}, and is {:?} old", answer.missing, answer.age));
        assert!(!answer.missing.is_empty(), "it owns four of six shards");
        eventually_within(PATIENCE, "it to say that it stores nothing", async || {
            let ready: Value =
                serde_json::from_str(&scene.cluster.node(lone).ops("/readyz").await.1).unwrap();
            (&ready["can_store"], &ready["can_take_alarms"]) == (&json!(false), &json!(true))
        })
        .await;
        assert_eq!(scene.ledger.through(lone), elsewhere, "it stored something");
        scene.say("join it");
        sites.join(lone);
        scene.goes_on().await;
        scene.cluster.wait_whole().await;
    }
    scene.end(Tally::assert_answered).await;
}

/// The site of the leader is cut off in every other round: others lead. In the rest a door is apart from the leader.
#[test]
fn long_a_leader_and_doors_that_are_apart_make_all_calls_and_join_what_they_both_opened() {
    run_inside("long_inside_calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_inside_calls() {
    if !is_inside() {
        return;
    }
    let sites = Sites::make();
    let target = BadTarget::start_at(OUTSIDE, |_, stream| answer(stream, 200));
    let cluster = start(&target_settings(&target, NO_TURNS));
    cluster.wait_whole().await;
    let mut calls = Calls::over(cluster, target).await;
    let mut both = BTreeSet::new();
    for round in 0..rounds(2, 6) {
        let leader = calls.leader().await;
        calls.call_everywhere().await;
        calls.all_recorded().await;
        let lone = if round % 2 == 0 { leader } else { (leader + 1) % SITES };
        eprintln!("site {lone} is cut off, and node {leader} leads");
        sites.cut(lone);
        let others: Vec<usize> = Sites::others(lone).collect();
        let vehicle = format!("at both sides {round}");
        for node in 0..SITES {
            calls.send_at(node, &format!("round {round} at {node}"));
        }
        for node in [lone, others[0]] {
            calls.send_at(node, &vehicle);
        }
        both.insert(vehicle);
        calls.all_accepted().await;
        assert_eq!(calls.leader_of(&others).await == leader, round % 2 == 1);
        for node in others {
            calls.call_at(node).await;
        }
        eventually_within(PATIENCE, "it to lead no more", async || {
            calls.trail(lone)["duty"] != "full" && calls.trail(lone)["leader"] == Value::Null
        })
        .await;
        calls.send_at(lone, &format!("late in round {round}"));
        calls.all_accepted().await;
        assert!(calls.trail(lone)["waiting_alarms"].as_u64() > Some(0), "nobody can record what it took");
        eprintln!("site {lone} is joined");
        sites.join(lone);
        calls.leader().await;
        calls.all_recorded().await;
    }
    let twice = calls.target.openings().into_values().filter(|keys| keys.len() > 1).count();
    let mut joined = 0.0;
    for (_, node) in calls.cluster.running() {
        joined += node.metric("vagn_cluster_trail_events_total{event=\"joined\"}").await;
    }
    eprintln!("{twice} of {} vehicles were called about by two doors, {joined} were joined", both.len());
    assert!(joined >= twice as f64);
    calls.assert_one_key(&both);
    calls.stop_and_compare().await;
}

/// Returns the site of the broker that leads the bucket of the registry.
async fn site_of_registry(cluster: &Cluster) -> usize {
    let mut found = None;
    eventually_within(PATIENCE, "a leader of the bucket", async || {
        for (site, monitor) in cluster.brokers.monitors().iter().enumerate() {
            let port = monitor.rsplit(':').next().unwrap();
            let url = format!("http://{}:{port}/jsz?accounts=true&streams=true", Sites::door(site));
            let said: Value = client().get(url).send().await.unwrap().json().await.unwrap();
            let streams = said["account_details"][0]["stream_detail"].as_array().into_iter().flatten();
            let bucket = streams.into_iter().find(|stream| stream["name"] == "KV_vagn-fleet_registry");
            let leader = bucket.and_then(|bucket| bucket["cluster"]["leader"].as_str().map(str::to_owned));
            found = leader.and_then(|name| name.strip_prefix('n')?.parse::<usize>().ok());
            if found.is_some() {
                return true;
            }
        }
        false
    })
    .await;
    found.unwrap() - 1
}

#[test]
fn long_a_token_that_is_revoked_while_its_node_is_cut_off_is_refused_there_once_it_is_back() {
    run_inside("long_inside_a_revocation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_inside_a_revocation() {
    if !is_inside() {
        return;
    }
    let sites = Sites::make();
    let cluster = start("");
    let node = |number: usize| -> &Vagn { cluster.node(number) };
    for round in 0..rounds(1, 4) {
        let name = format!("anna {round}");
        // A broker that is cut off goes on answering what it led.
        let lone = (site_of_registry(&cluster).await + round) % SITES;
        let [by, other] = [1, 2].map(|further| (lone + further) % SITES);
        let token = add_token(node(by), &name).await;
        for number in 0..SITES {
            answers(node(number), &token, 200).await;
        }
        sites.cut(lone);
        // While brokers elect a leader it may be refused, or in doubt: then it is asked for again.
        for number in [by, other] {
            eventually_within(PATIENCE, "the token to be revoked", async || {
                node(by).control(&json!({"token_revoke": {"name": name}}));
                sleep(POLL).await;
                code(node(number), &token).await == 401
            })
            .await;
        }
        // It goes on with its copy, and says how old that is.
        eventually_within(PATIENCE, "a warning", async || {
            assert_ne!(code(node(lone), &token).await, 401, "nobody can have told it");
            let ready: Value = serde_json::from_str(&node(lone).ops("/readyz").await.1).unwrap();
            ready["warnings"]["registry"].is_string()
        })
        .await;
        assert!(node(lone).metric("vagn_cluster_registry_age_seconds").await >= 30.0);
        assert_ne!(code(node(lone), &token).await, 401);
        let said =
            node(lone).control(&json!({"token_add": {"name": "later", "role": "read"}})).pop().unwrap();
        assert_eq!(said["error"]["problem"], "busy", "{said}");
        sites.join(lone);
        answers(node(lone), &token, 401).await;
        eventually_within(PATIENCE, "the warning to go", async || {
            let ready: Value = serde_json::from_str(&node(lone).ops("/readyz").await.1).unwrap();
            ready["warnings"]["registry"].is_null()
        })
        .await;
        cluster.wait_whole().await;
    }
}
