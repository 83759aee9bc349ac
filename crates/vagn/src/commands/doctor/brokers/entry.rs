//! Whether each broker lets a node in, and whether there are enough of them.

use std::collections::BTreeSet;

use super::{Entry, Finding, Seen, some};

/// Oldest version that is supported.
const OLDEST: (u64, u64) = (2, 14);

/// Brokers that keep each stream.
const NEEDED: usize = 3;

pub(super) fn judge(seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (address, entry) in &seen.entries {
        match entry {
            Ok(entry) => findings.push(of(address, entry)),
            Err(err) => {
                let remedy = match err.sentence {
                    "failed to connect to a broker" => "check that it runs, the address, and the firewall",
                    sentence => sentence,
                };
                findings.push(Finding::fail(format!("broker {address}: not reached: {err}"), remedy));
            }
        }
    }
    findings.push(count(seen));
    findings
}

fn of(address: &str, entry: &Entry) -> Finding {
    let Entry { name, version, has_jetstream } = entry;
    let what = format!("broker {address}: {name}, NATS {version}");
    if !is_new(version) {
        let remedy = format!("run {}.{} or newer: older ones lose streams", OLDEST.0, OLDEST.1);
        return Finding::fail(what, remedy);
    }
    if !has_jetstream {
        let remedy = "it keeps nothing: give its configuration a `jetstream` block, as in deploy/nats";
        return Finding::fail(format!("{what}, without JetStream"), remedy);
    }
    if address.starts_with("nats://") {
        return Finding::warn(
            format!("{what}, in clear"),
            "fit for trying things on one machine; name it by tls://",
        );
    }
    Finding::ok(format!("{what}, over TLS"))
}

fn is_new(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(str::parse::<u64>);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else { return false };
    (major, minor) >= OLDEST
}

/// Counts brokers. Only a monitor knows how many make the cluster.
fn count(seen: &Seen) -> Finding {
    let names = seen.names();
    let entered: BTreeSet<&str> =
        seen.entries.iter().filter_map(|(_, entry)| Some(&*entry.as_ref().ok()?.name)).collect();
    let told = seen.told().filter_map(|monitor| monitor.cluster_size()).max();
    let known = told.unwrap_or(names.len());
    let what = format!("brokers: {known} in the cluster: {}", some(names));
    match (known >= NEEDED, told) {
        (false, Some(_)) => Finding::fail(what, "three brokers keep each stream: run three at least"),
        (false, None) => {
            let remedy =
                "name their monitors with --nats-monitor to see how many there are; three keep each stream";
            Finding::warn(format!("{what}; others are not checked"), remedy)
        }
        // Two addresses of one broker, such as a balancer's, are no second way.
        (true, _) if seen.entries.iter().all(|(_, entry)| entry.is_ok()) && entered.len() < NEEDED => {
            let remedy = "name three brokers by addresses of their own with --nats, so that a node has a way when one is away";
            Finding::warn(format!("brokers: the addresses lead to {} of {known}", entered.len()), remedy)
        }
        (true, _) => Finding::ok(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::brokers::monitor::told;
    use crate::commands::doctor::finding::Level;

    fn entry(name: &str, version: &str, has_jetstream: bool) -> Entry {
        Entry { name: name.into(), version: version.into(), has_jetstream }
    }

    #[test]
    fn an_old_broker_or_one_without_jetstream_fails() {
        let check = |address: &str, entry: &Entry, level| assert_eq!(of(address, entry).level(), level);
        check("tls://a:4222", &entry("a", "2.14.0", true), Level::Ok);
        check("tls://a:4222", &entry("a", "2.15.0-preview.1", true), Level::Ok);
        check("tls://a:4222", &entry("a", "3.0.0", true), Level::Ok);
        check("nats://a:4222", &entry("a", "2.15.1", true), Level::Warn);
        check("tls://a:4222", &entry("a", "2.9.10", true), Level::Fail);
        check("tls://a:4222", &entry("a", "2.15.1", false), Level::Fail);
        check("tls://a:4222", &entry("a", "", true), Level::Fail);
    }

    #[test]
    fn fewer_than_three_brokers_fail_once_it_is_known() {
        let entries = |names: &[&str]| {
            names.iter().map(|name| (format!("tls://{name}"), Ok(entry(name, "2.15.1", true)))).collect()
        };
        let mut seen = Seen { entries: entries(&["n1", "n2"]), ..Seen::default() };
        assert_eq!(count(&seen).level(), Level::Warn);
        let monitor = |size| told("n1", |said| said["jetstream"]["meta"]["cluster_size"] = size);
        seen.monitors = vec![("m".into(), Ok(monitor(2.into())))];
        assert_eq!(count(&seen).level(), Level::Fail);
        seen.monitors = vec![("m".into(), Ok(monitor(3.into())))];
        assert_eq!(count(&seen).level(), Level::Warn, "two addresses of three");
        seen.entries = entries(&["n1", "n2", "n3"]);
        assert_eq!(count(&seen).level(), Level::Ok);
    }
}
