//! How brokers are set up, as their monitors tell it.

use std::collections::BTreeMap;
use std::time::Duration;

use vagn_nats::{Streams, room_of_streams};

use super::monitor::{Monitor, by_name};
use super::{Finding, Seen, size, some};

pub(super) fn judge(seen: &Seen, shards: u32) -> Vec<Finding> {
    let monitors = by_name(seen.told());
    let mut findings = silent(seen, &monitors);
    if monitors.is_empty() {
        return findings;
    }
    findings.extend(syncs(&monitors));
    findings.extend(encrypted(&monitors));
    findings.extend(monitors.values().filter_map(|monitor| room(monitor, seen.streams.as_ref(), shards)));
    findings.extend(heard(&monitors));
    findings
}

/// Monitors that say nothing, and brokers that no monitor tells of.
fn silent(seen: &Seen, monitors: &BTreeMap<&str, &Monitor>) -> Vec<Finding> {
    let failed = seen.monitors.iter().filter_map(|(url, said)| Some((url, said.as_ref().err()?)));
    let mut findings: Vec<_> = failed
        .map(|(url, why)| {
            let remedy = "check that the broker runs, has `http:` in its configuration, and lets this machine ask there";
            Finding::warn(format!("monitor {url}: {why}"), remedy)
        })
        .collect();
    let unseen: Vec<&str> = seen.names().into_iter().filter(|name| !monitors.contains_key(name)).collect();
    if !unseen.is_empty() || monitors.is_empty() {
        let whose = if unseen.is_empty() { "all brokers".to_owned() } else { some(unseen) };
        let what = format!("brokers: not checked: sync_interval, TLS, room and clock of {whose}");
        findings.push(Finding::warn(what, "name their monitors: --nats-monitor http://127.0.0.1:8222,…"));
    }
    findings
}

/// What a broker answered as stored must outlive a power cut.
fn syncs(monitors: &BTreeMap<&str, &Monitor>) -> Vec<Finding> {
    let (mut always, mut later, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for (name, monitor) in monitors {
        match monitor.store() {
            Some(store) if store.sync_always => always.push(*name),
            Some(store) if store.sync_interval.is_some() => {
                let every = Duration::from_nanos(store.sync_interval.unwrap_or_default());
                later.push(format!("{name} ({})", humantime::format_duration(every)));
            }
            _ => unknown.push(*name),
        }
    }
    let mut findings = Vec::new();
    if !always.is_empty() {
        findings.push(Finding::ok(format!("brokers: sync_interval: always at {}", some(always))));
    }
    if !later.is_empty() {
        let what = format!("brokers: writes are synced later at {}", some(later.iter().map(|text| &**text)));
        let remedy = "a power cut loses what was answered `stored`: set `sync_interval: always` in `jetstream`, and restart them one by one";
        findings.push(Finding::fail(what, remedy));
    }
    if !unknown.is_empty() {
        let what =
            format!("brokers: sync_interval: not checked at {}: the monitor does not tell it", some(unknown));
        findings.push(Finding::warn(
            what,
            "look into their configurations: `sync_interval: always` in `jetstream`",
        ));
    }
    findings
}

fn encrypted(monitors: &BTreeMap<&str, &Monitor>) -> Vec<Finding> {
    let clients = |monitor: &Monitor| Some(monitor.said.tls_required);
    // A lone broker has no routes.
    let routes = |monitor: &Monitor| {
        let routes = monitor.said.cluster.as_ref().filter(|routes| !routes.name.is_empty())?;
        Some(routes.tls_required)
    };
    let one = |what: &str, of: &dyn Fn(&Monitor) -> Option<bool>, remedy: &str| {
        let with = |wanted: bool| -> Vec<&str> {
            let all = monitors.iter().filter(|(_, monitor)| of(monitor) == Some(wanted));
            all.map(|(name, _)| *name).collect()
        };
        let (safe, clear) = (with(true), with(false));
        let safe =
            (!safe.is_empty()).then(|| Finding::ok(format!("brokers: TLS for {what} at {}", some(safe))));
        let clear = (!clear.is_empty())
            .then(|| Finding::warn(format!("brokers: no TLS for {what} at {}", some(clear)), remedy));
        safe.into_iter().chain(clear)
    };
    let of_clients = "passwords and positions pass in clear: give them a `tls` block, as in deploy/nats";
    let of_routes = "whoever is between them reads and changes all: give `cluster` a `tls` block with `verify: true`, as in deploy/nats";
    one("nodes", &clients, of_clients).chain(one("routes between brokers", &routes, of_routes)).collect()
}

/// Compares the room of a broker with what is reserved of it.
fn room(monitor: &Monitor, streams: Option<&Streams>, shards: u32) -> Option<Finding> {
    let name = monitor.name();
    let most = u64::try_from(monitor.store()?.max_storage).ok()?;
    let told = monitor.reserved().unwrap_or(0);
    let kept = streams.map_or(0, |streams| reserved_at(streams, name));
    let reserved = told.max(kept);
    let what = format!("brokers: room at {name}: {} of {} reserved", size(reserved), size(most));
    if reserved > most {
        let remedy = "streams may grow beyond the room, and are full then: raise `max_file_store`, with a disk that has it";
        return Some(Finding::fail(what, remedy));
    }
    if kept > 0 {
        return Some(Finding::ok(what));
    }
    // The data set has not begun: what its streams would get.
    let (each, least) = room_of_streams(most - reserved, u16::try_from(shards).unwrap_or(u16::MAX));
    let what = format!("{what}, which gives each of {shards} shards {} MiB", each >> 20);
    if each < least {
        let remedy =
            format!("a stream needs {} MiB: raise `max_file_store`, or take fewer shards", least >> 20);
        return Some(Finding::fail(what, remedy));
    }
    Some(Finding::ok(what))
}

/// Bytes that streams of the data set may take at a broker.
fn reserved_at(streams: &Streams, broker: &str) -> u64 {
    let here = streams.seen.iter().filter(|stream| {
        stream.leader.as_deref() == Some(broker) || stream.followers.iter().any(|peer| peer.name == broker)
    });
    here.map(|stream| stream.max_bytes).sum()
}

/// What helps a broker that is not well.
const REMEDY_ILL: &str =
    "see its log and its disk; one whose disk was full stores nothing until it has room and is started again";

/// Whether brokers are well, have a leader, and hear each other.
fn heard(monitors: &BTreeMap<&str, &Monitor>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, monitor) in monitors {
        if let Some(ill) = &monitor.ill {
            findings.push(Finding::fail(format!("broker {name}: not well: {ill}"), REMEDY_ILL));
        }
        let leader = monitor.meta().map_or("", |meta| &*meta.leader);
        let away: Vec<&str> = monitor.away().collect();
        if leader.is_empty() {
            let remedy = "no stream can be made until most brokers hear each other: see which do not run";
            findings.push(Finding::fail(format!("broker {name}: knows no leader of the brokers"), remedy));
        }
        if !away.is_empty() {
            let remedy = "start it, or see why it is not heard: the loss of one more stops storing";
            findings.push(Finding::fail(format!("broker {name}: does not hear {}", some(away)), remedy));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(format!(
            "brokers: {} are well and have a leader",
            some(monitors.keys().copied())
        )));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use vagn_nats::StreamSeen;

    use super::super::monitor::told;
    use super::super::streams::stream;
    use super::*;
    use crate::commands::doctor::finding::Level;

    /// Findings about three brokers, of which the second is changed.
    fn findings(change: impl FnOnce(&mut Value)) -> Vec<Finding> {
        let monitors = [told("n1", |_| ()), told("n2", change), told("n3", |_| ())];
        let monitors = monitors.map(|monitor| (String::new(), Ok(monitor))).into();
        judge(&Seen { monitors, ..Seen::default() }, 8)
    }

    fn worst(change: impl FnOnce(&mut Value)) -> (Level, String) {
        let worst = findings(change).into_iter().max_by_key(Finding::level).unwrap();
        (worst.level(), worst.to_string())
    }

    fn check(change: impl FnOnce(&mut Value), level: Level, words: &str) {
        let (found, said) = worst(change);
        assert!(found == level && said.contains(words), "{said}");
    }

    #[test]
    fn each_fault_of_a_broker_is_found() {
        assert_eq!(worst(|_| ()).0, Level::Ok, "{:?}", findings(|_| ()));
        check(
            |said| said["jetstream"]["config"]["sync_always"] = false.into(),
            Level::Fail,
            "later at n2 (2m)",
        );
        check(
            |said| said["jetstream"]["config"] = json!({"max_storage": 1_u64 << 40}),
            Level::Warn,
            "not checked at n2",
        );
        check(|said| said["tls_required"] = false.into(), Level::Warn, "no TLS for nodes at n2");
        check(
            |said| said["cluster"]["tls_required"] = false.into(),
            Level::Warn,
            "no TLS for routes between brokers at n2",
        );
        check(|said| said["jetstream"]["meta"]["leader"] = "".into(), Level::Fail, "knows no leader");
        check(
            |said| said["jetstream"]["meta"]["replicas"][1]["offline"] = true.into(),
            Level::Fail,
            "n2: does not hear n3",
        );
        // Who does not lead hears the leader alone.
        let other = |said: &mut Value| said["jetstream"]["meta"]["replicas"][1]["current"] = false.into();
        check(other, Level::Ok, "");
        check(
            |said| {
                other(said);
                said["jetstream"]["meta"]["leader"] = "n2".into();
            },
            Level::Fail,
            "n2: does not hear n3",
        );
    }

    #[test]
    fn brokers_that_no_monitor_tells_of_are_not_checked() {
        let seen = Seen { monitors: vec![(String::new(), Ok(told("n1", |_| ())))], ..Seen::default() };
        let said = judge(&seen, 8)[0].to_string();
        assert!(said.contains("not checked: sync_interval, TLS, room and clock of n2, n3"), "{said}");
        let said = judge(&Seen::default(), 8)[0].to_string();
        assert!(said.contains("of all brokers"), "{said}");
    }

    #[test]
    fn room_is_compared_with_what_streams_reserve() {
        let broker = |max: u64| told("n1", |said| said["jetstream"]["config"]["max_storage"] = max.into());
        let level = |max, streams: Option<&Streams>| room(&broker(max), streams, 8).unwrap().level();
        let streams = Streams {
            seen: vec![StreamSeen { max_bytes: 1 << 30, ..stream("vagn-a-0-0") }; 2],
            ..Streams::default()
        };
        assert_eq!(level(2 << 30, Some(&streams)), Level::Ok);
        assert_eq!(level((2 << 30) - 1, Some(&streams)), Level::Fail);
        // Before the first stream: three quarters, divided by the shards.
        assert_eq!(level(8 * (16 << 20) * 4 / 3 + 8, None), Level::Ok);
        assert_eq!(level(8 * (16 << 20), None), Level::Fail);
    }

    #[test]
    fn a_broker_that_is_not_well_fails() {
        let mut monitor = told("n1", |_| ());
        monitor.ill = Some("JetStream is not current with the meta leader".into());
        let seen = Seen { monitors: vec![(String::new(), Ok(monitor))], ..Seen::default() };
        assert!(judge(&seen, 8).iter().any(|finding| finding.to_string().contains("not current")));
    }
}
