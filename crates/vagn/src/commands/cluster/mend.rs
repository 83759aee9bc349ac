//! `vagn cluster repair --all`: begins anew all that is broken, until the service is whole: after the disks of all brokers were lost, or where a node was made
//! of a copy of the whole service.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{ask, connect, items};
use crate::commands::exit::of_control;
use crate::commands::say;
use crate::control::{ControlRequest, Problem};

/// Longest time for all of it.
const WITHIN: Duration = Duration::from_secs(300);

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Something comes by itself, or needs a person.
    Wait(String),
    /// No node answers for these shards.
    Shards(Vec<u64>),
    /// The trail is broken.
    Trail,
    /// All is there.
    Nothing,
}

/// Repairs until all is there.
///
/// # Errors
/// No service runs, or not all is there in time.
pub(super) fn run(data_dir: &Path) -> anyhow::Result<()> {
    let until = Instant::now() + WITHIN;
    let mut told = String::new();
    loop {
        let (lack, is_over) = match look(data_dir)? {
            Next::Nothing => (String::new(), true),
            Next::Wait(lack) => (lack, false),
            Next::Shards(shards) => (repair_shards(data_dir, &shards)?, false),
            Next::Trail => (repair_trail(data_dir)?, false),
        };
        if is_over {
            return say("each shard has an owner with all of it, and calls for help have a leader\n");
        }
        if Instant::now() >= until {
            anyhow::bail!("for {} s, {lack}", WITHIN.as_secs());
        }
        if lack != told {
            if !lack.is_empty() {
                eprintln!("waiting: {lack}");
            }
            told = lack;
        }
        sleep(LOOK_EVERY);
    }
}

/// Asks the service what is to be done next.
fn look(data_dir: &Path) -> anyhow::Result<Next> {
    match connect(data_dir)?.ask(&ControlRequest::ClusterStatus {}, &mut |_| Ok(())) {
        Ok(shown) => Ok(next(&shown)),
        // It was started a moment ago.
        Err(err) if err.problem == Problem::Busy => Ok(Next::Wait(err.message)),
        Err(err) => Err(of_control(err)),
    }
}

/// Repairs each of these shards that is broken. Returns what one of them lacks still.
fn repair_shards(data_dir: &Path, shards: &[u64]) -> anyhow::Result<String> {
    let mut lack = String::new();
    for shard in shards {
        let request = ControlRequest::ClusterRepair { shard: u16::try_from(*shard)? };
        match ask(data_dir, &request) {
            Ok(_) => say(&format!("a new epoch of shard {shard} is begun\n"))?,
            Err(err) => lack = format!("{err:#}"),
        }
    }
    Ok(lack)
}

fn repair_trail(data_dir: &Path) -> anyhow::Result<String> {
    match ask(data_dir, &ControlRequest::ClusterRepairTrail {}) {
        Ok(done) => say(&format!("{}\n", done.as_str().unwrap_or_default())).map(|()| String::new()),
        Err(err) => Ok(format!("{err:#}")),
    }
}

/// Returns what is to be done next, as the status shows it.
fn next(shown: &Value) -> Next {
    if items(shown, "shards").next().is_none() {
        return Next::Wait("it is not known yet which shards there are".to_owned());
    }
    let unowned: Vec<u64> = items(shown, "unowned_shards").filter_map(Value::as_u64).collect();
    let trail = &shown["trail"];
    match trail["stopped"].as_str() {
        _ if !unowned.is_empty() => Next::Shards(unowned),
        Some(_) => Next::Trail,
        None if trail["leader"].is_string() => Next::Nothing,
        None if trail["differs"] == true => Next::Wait(
            "calls for help have no leader, as the settings of this node differ from those of the last one: give it the same, or run `vagn cluster lead`"
                .to_owned(),
        ),
        None => Next::Wait("calls for help have no leader".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn next_of(unowned: &[u64], trail: &Value) -> Next {
        next(&json!({"shards": [{"shard": 0}], "unowned_shards": unowned, "trail": trail}))
    }

    #[test]
    fn shards_come_first_then_the_trail_and_at_last_a_leader() {
        let (led, broken) = (json!({"leader": "a", "stopped": null}), json!({"stopped": "it is gone"}));
        assert_eq!(next_of(&[3, 5], &broken), Next::Shards(vec![3, 5]));
        assert_eq!(next_of(&[], &broken), Next::Trail);
        assert!(matches!(next_of(&[], &json!({"leader": null})), Next::Wait(_)));
        let differs = next_of(&[], &json!({"leader": null, "differs": true}));
        assert!(matches!(differs, Next::Wait(lack) if lack.contains("vagn cluster lead")));
        assert_eq!(next_of(&[], &led), Next::Nothing);
        assert!(matches!(next(&json!({"shards": [], "trail": led})), Next::Wait(_)));
    }
}
