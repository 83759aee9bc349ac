//! A door whose wall clock is ahead, by libfaketime.

use serde_json::Value;

use super::nodes::Cluster;
use super::readers::Tally;
use super::scene::Scene;
use crate::clock_doubts::WallClock;
use crate::vagn::command;

/// By so much it is ahead, s.
const AHEAD_S: f64 = 5.0;

/// What comes through it counts as arrived within a second of the shard's time, which comes from the owners.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_a_door_whose_clock_is_ahead_stores_no_time_that_is_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let clock = WallClock::new(dir.path(), &format!("+{AHEAD_S}s"));
    let mut cluster = Cluster::start();
    let mut ahead = command();
    ahead.envs(clock.environment());
    // The kernel knows nothing of the clock that is set here.
    cluster.launch_by(3, ahead, &["--role", "ingest", "--clock-kernel", "false"]);
    cluster.node_mut(3).wait_ready();
    let scene = Scene::begin_over(cluster).await;
    scene.goes_on().await;
    let all = scene.cluster.node(0).json("/api/v1/vehicles?bbox=-180,-90,180,90&limit=1000").await;
    // Those of odd numbers tell no time.
    let of_door = |one: &&Value| {
        one["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("tcp-3-") && id.ends_with(['1', '3', '5', '7', '9']))
    };
    let ages: Vec<f64> = all["features"]
        .as_array()
        .unwrap()
        .iter()
        .filter(of_door)
        .map(|one| one["properties"]["age_s"].as_f64().unwrap())
        .collect();
    eprintln!("ages of what came through the door: {ages:?}");
    assert!(!ages.is_empty() && ages.iter().all(|age_s| *age_s > -AHEAD_S / 2.0), "{ages:?}");
    scene.end(Tally::assert_whole).await;
}
