//! Brokers of a cluster: what they say to a node, and what their monitors say. What neither tells is named as *not checked*.
//!
//! | file | judges |
//! |---|---|
//! | `entry.rs` | whether brokers let a node in, and how many there are |
//! | `server.rs` | how each is set up, by its monitor: syncs, TLS, room, and which others it hears |
//! | `streams.rs` | streams of the data set: copies, leaders, bounds |
//! | `time.rs` | clocks of brokers against this machine's |

mod entry;
mod monitor;
mod server;
mod streams;
mod time;

use std::collections::BTreeSet;

use futures_util::future::join_all;
use tokio::runtime::Builder;
use vagn_cluster::NodeId;
use vagn_flow::clock::{Clock, SystemClock};
use vagn_nats::{Options, Streams, Visit, VisitError};

use self::monitor::Monitor;
use self::time::Reading;
use super::finding::Finding;
use crate::cluster::tls;
use crate::config::Settings;

/// What brokers and monitors said.
#[derive(Debug, Default)]
struct Seen {
    /// By address: what a broker says when a node connects.
    entries: Vec<(String, Result<Entry, VisitError>)>,
    /// By URL: what its monitor says, or why it says nothing.
    monitors: Vec<(String, Result<Monitor, String>)>,
    /// Streams of the data set; none if no broker answered for them.
    streams: Option<Streams>,
    /// Clocks of brokers.
    readings: Vec<Reading>,
}

/// What a broker says when a node connects.
#[derive(Debug, Clone)]
struct Entry {
    name: String,
    version: String,
    has_jetstream: bool,
}

/// Asks brokers and monitors, and judges what they say. Empty without brokers.
pub(super) fn check(settings: &Settings, monitors: &[String]) -> Vec<Finding> {
    if !settings.cluster.is_set() {
        return Vec::new();
    }
    let correct = "correct this setting";
    let tls = match tls(&settings.cluster) {
        Ok(tls) => tls,
        Err(err) => return vec![Finding::fail(format!("{:#}", anyhow::Error::new(err)), correct)],
    };
    let options = match settings.cluster.options(NodeId(0), fastrand::u64(..)) {
        Ok(options) => options.tls(tls.clone()),
        Err(err) => return vec![Finding::fail(err.to_string(), correct)],
    };
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => return vec![Finding::fail(format!("brokers: {err}"), "raise the limit of open files")],
    };
    let seen = runtime.block_on(look(&options, monitors, tls));
    let shards = settings.cluster.shards;
    let mut findings = entry::judge(&seen);
    findings.extend(server::judge(&seen, shards));
    findings.extend(streams::judge(seen.streams.as_ref(), &settings.cluster.set, shards));
    findings.extend(time::judge(&seen.readings));
    findings
}

async fn look(options: &Options, monitors: &[String], tls: rustls::ClientConfig) -> Seen {
    let addresses: Vec<String> = options.addresses().map(str::to_owned).collect();
    let visits = join_all((0..addresses.len()).map(|at| options.visit(at))).await;
    let asked = join_all(monitors.iter().map(|url| monitor::ask(url, tls.clone()))).await;
    let mut seen = Seen::default();
    for (url, said) in monitors.iter().zip(asked) {
        seen.readings.extend(said.as_ref().ok().and_then(Monitor::reading));
        seen.monitors.push((url.clone(), said));
    }
    let (began_ms, mut taken) = (SystemClock::new().now_ms(), None);
    for visit in visits.iter().flatten() {
        taken = visit.streams().await;
        if taken.is_some() {
            break;
        }
    }
    let ended_ms = SystemClock::new().now_ms();
    seen.readings.extend(taken.iter().flat_map(|streams| time::of(streams, began_ms, ended_ms)));
    seen.streams = taken;
    let entry =
        |visit: Visit| Entry { name: visit.name, version: visit.version, has_jetstream: visit.has_jetstream };
    seen.entries = addresses.into_iter().zip(visits.into_iter().map(|visit| visit.map(entry))).collect();
    seen
}

impl Seen {
    fn told(&self) -> impl Iterator<Item = &Monitor> {
        self.monitors.iter().filter_map(|(_, said)| said.as_ref().ok())
    }

    /// Names of all brokers that anybody told of.
    fn names(&self) -> BTreeSet<&str> {
        let entries = self.entries.iter().filter_map(|(_, entry)| Some(&*entry.as_ref().ok()?.name));
        let monitors = self.told().flat_map(Monitor::names);
        let streams = self.streams.iter().flat_map(|streams| &streams.seen);
        let keepers = streams.flat_map(|stream| {
            stream.leader.as_deref().into_iter().chain(stream.followers.iter().map(|peer| &*peer.name))
        });
        entries.chain(monitors).chain(keepers).collect()
    }
}

/// The first of these names, and how many there are.
fn some<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 3;
    let names: Vec<&str> = names.into_iter().collect();
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn size(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        1..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / (1_u64 << 20) as f64),
        _ => format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_cut_short() {
        assert_eq!(some(["a", "b", "c"]), "a, b, c");
        assert_eq!(some(["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
