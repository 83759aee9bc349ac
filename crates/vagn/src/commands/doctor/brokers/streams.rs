//! Streams of the data set: kept three times on disk, led, and without anything that drops what is in them.

use std::collections::BTreeSet;

use vagn_nats::{StreamSeen, Streams, room_of_streams};

use super::{Finding, some};

/// Brokers that are to keep each stream.
const REPLICAS: u8 = 3;

/// Percentage of its room from which a stream is near full. Owners that hold up more than half of it are struck off.
const FULL_PERCENT: u64 = 80;

const MADE_ANEW: &str = "somebody has changed it: set it back with `nats stream edit`, see deploy/nats";

/// A fault that a stream can have: what it is, the remedy, and whether it breaks what the service promises.
struct Fault {
    what: &'static str,
    remedy: &'static str,
    is_grave: bool,
    has: fn(&StreamSeen) -> bool,
}

const FAULTS: [Fault; 9] = [
    Fault {
        what: "not kept by three brokers",
        remedy: "a lost disk loses reports: `nats stream edit --replicas 3`, once three brokers run",
        is_grave: true,
        has: |stream| stream.replicas != REPLICAS,
    },
    Fault {
        what: "without a leader",
        remedy: "they take nothing: see which brokers do not run",
        is_grave: true,
        has: |stream| stream.leader.is_none(),
    },
    Fault {
        what: "with a broker that is away",
        remedy: "start it: the loss of one more stops storing",
        is_grave: true,
        has: |stream| stream.followers.iter().any(vagn_nats::Follower::is_away),
    },
    Fault {
        what: "with a broker that lags behind",
        remedy: "a broker that came back copies what it lacks; if it stays so, see its log and its disk",
        is_grave: false,
        has: |stream| stream.followers.iter().any(|peer| !peer.is_away() && !peer.is_current),
    },
    Fault { what: "in memory", remedy: MADE_ANEW, is_grave: true, has: |stream| !stream.is_on_disk },
    Fault {
        what: "not `discard: new`, which drop old reports when they are full",
        remedy: MADE_ANEW,
        is_grave: true,
        has: |stream| !stream.refuses_when_full,
    },
    Fault {
        what: "with a `max_age`, which drop reports that owners may lack",
        remedy: MADE_ANEW,
        is_grave: true,
        has: |stream| stream.max_age_ns != 0,
    },
    Fault {
        what: "almost full",
        remedy: "see with `vagn cluster status` which owner is behind; a full stream takes nothing",
        is_grave: false,
        has: |stream| stream.max_bytes > 0 && stream.bytes / FULL_PERCENT >= stream.max_bytes / 100,
    },
    Fault {
        what: "with the least room there is",
        remedy: "it lasts for seconds of a busy shard: raise `max_file_store`, and begin new epochs with `vagn cluster repair`",
        is_grave: false,
        has: |stream| stream.shard.is_some() && (1..=room_of_streams(0, 1).1).contains(&stream.max_bytes),
    },
];

/// Judges what brokers told; `None`: no broker answered.
pub(super) fn judge(streams: Option<&Streams>, set: &str, shards: u32) -> Vec<Finding> {
    let named = format!("data set {set}");
    let Some(streams) = streams else {
        let what = format!("{named}: streams are not checked: no broker answered for them");
        let remedy =
            "most brokers must run and hear each other; and the node's user needs the rights of deploy/nats";
        return vec![Finding::fail(what, remedy)];
    };
    let Streams { seen, silent } = streams;
    if seen.is_empty() && silent.is_empty() {
        return vec![Finding::ok(format!("{named}: no streams as yet; the first node makes them"))];
    }
    let mut findings = Vec::new();
    if !silent.is_empty() {
        let what = format!(
            "{named}: streams whose leader does not answer: {}",
            some(silent.iter().map(String::as_str))
        );
        findings.push(Finding::fail(what, "they take nothing: see which brokers do not run"));
    }
    for Fault { what, remedy, is_grave, has } in &FAULTS {
        let faulty: Vec<&str> =
            seen.iter().filter(|stream| has(stream)).map(|stream| &*stream.name).collect();
        if !faulty.is_empty() {
            let what = format!("{named}: streams {what}: {}", some(faulty));
            findings.push(if *is_grave {
                Finding::fail(what, *remedy)
            } else {
                Finding::warn(what, *remedy)
            });
        }
    }
    findings.extend(missing(streams, &named, shards));
    if findings.is_empty() {
        let count = seen.len();
        findings.push(Finding::ok(format!(
            "{named}: {count} streams, each at three brokers, on disk, with a leader, refusing when full, without an age"
        )));
    }
    findings
}

/// Compares the shards that have streams with the settings.
fn missing(streams: &Streams, named: &str, shards: u32) -> Option<Finding> {
    // A stream that is silent is not missing.
    let there: BTreeSet<u16> = streams.seen.iter().filter_map(|stream| stream.shard).collect();
    if !streams.silent.is_empty() || there.iter().map(|shard| u32::from(*shard)).eq(0..shards) {
        return None;
    }
    let what = format!("{named}: {} shards have streams, and `cluster.shards` is {shards}", there.len());
    let remedy = "name the settings file of the nodes with --config; where a stream was deleted, see `vagn cluster repair`";
    Some(Finding::fail(what, remedy))
}

/// A stream as it should be.
#[cfg(test)]
pub(super) fn stream(name: &str) -> StreamSeen {
    let follower = |name: &str| vagn_nats::Follower {
        name: name.into(),
        is_current: true,
        is_offline: false,
        silent_ns: 1,
        lag: 0,
    };
    StreamSeen {
        name: name.into(),
        shard: name.rsplit('-').nth(1).and_then(|shard| shard.parse().ok()),
        replicas: 3,
        max_bytes: 1 << 30,
        bytes: 0,
        refuses_when_full: true,
        max_age_ns: 0,
        is_on_disk: true,
        leader: Some("n1".into()),
        followers: vec![follower("n2"), follower("n3")],
        now_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    fn check(change: impl FnOnce(&mut Streams), level: Level, words: &str) {
        let mut streams =
            Streams { seen: ["vagn-a-0-0", "vagn-a-1-0"].map(stream).into(), silent: Vec::new() };
        change(&mut streams);
        let worst = judge(Some(&streams), "a", 2).into_iter().max_by_key(Finding::level).unwrap();
        assert!(worst.level() == level && worst.to_string().contains(words), "{worst}");
    }

    fn check_one(change: impl FnOnce(&mut StreamSeen), level: Level, words: &str) {
        check(|streams| change(&mut streams.seen[1]), level, &format!("{words}: vagn-a-1-0"));
    }

    #[test]
    fn each_fault_of_a_stream_is_found() {
        check(|_| (), Level::Ok, "2 streams");
        check_one(|stream| stream.replicas = 1, Level::Fail, "by three brokers");
        check_one(|stream| stream.leader = None, Level::Fail, "without a leader");
        check_one(|stream| stream.followers[0].is_offline = true, Level::Fail, "that is away");
        check_one(|stream| stream.followers[0].is_current = false, Level::Warn, "lags behind");
        check_one(|stream| stream.is_on_disk = false, Level::Fail, "in memory");
        check_one(|stream| stream.refuses_when_full = false, Level::Fail, "when they are full");
        check_one(|stream| stream.max_age_ns = 1, Level::Fail, "owners may lack");
        check_one(|stream| stream.bytes = stream.max_bytes / 5 * 4 + 100, Level::Warn, "almost full");
        check_one(|stream| stream.max_bytes = 16 << 20, Level::Warn, "least room there is");
    }

    #[test]
    fn a_stream_that_is_silent_or_missing_fails() {
        check(
            |streams| streams.silent = vec!["vagn-a-1-0".into()],
            Level::Fail,
            "does not answer: vagn-a-1-0",
        );
        check(
            |streams| streams.seen.truncate(1),
            Level::Fail,
            "1 shards have streams, and `cluster.shards` is 2",
        );
        assert_eq!(judge(None, "a", 2)[0].level(), Level::Fail);
        assert_eq!(judge(Some(&Streams::default()), "a", 2)[0].level(), Level::Ok);
    }
}
