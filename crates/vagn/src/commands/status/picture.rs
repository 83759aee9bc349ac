//! Turns the ops pages of a service into lines for people.
//!
//! It reads the fields that it knows and ignores the rest, so that it works with an older or newer service too.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use vagn_load::balance::Counts;
use vagn_load::exposition::samples;
use vagn_load::ops::Page;

use crate::commands::counted;
use crate::visible::{Form, quoted, visible};

/// Deepest level of the tree that is shown. Our trees are less than half as deep; a wrong answer must not make us recurse
/// without end.
const DEPTH_MAX: usize = 16;

/// Odd vehicles that are named, of which there may be thousands.
const ODD_MAX: usize = 5;

/// Seconds that a message may wait before its process is called stuck or busy. Half of the default `hang_limit`, so that a stuck
/// process is seen before the watchdog ends it.
const WAIT_MAX_S: f64 = 5.0;

/// State of a service at one moment.
pub(super) struct Picture {
    ready: bool,
    notes: Vec<String>,
    numbers: Vec<(&'static str, String)>,
    /// Nodes, shards and calls for help of a cluster.
    cluster: Vec<String>,
    /// Vehicles that behave oddly: first their number, then some of them.
    odd: Vec<String>,
    /// Processes with messages that have waited too long.
    late: Vec<(&'static str, String)>,
    processes: Vec<ProcessLine>,
    restarts: u64,
}

/// One process in the tree.
struct ProcessLine {
    depth: usize,
    name: String,
    state: String,
    restarts: u64,
    notes: Vec<String>,
}

impl Picture {
    /// Reads the pages `/readyz`, `/metrics`, `/oddities` and `/actors`; an empty page is left out.
    pub(super) fn read(ready: &Page, metrics: &str, oddities: &str, actors: &str) -> Self {
        let mut processes = Vec::new();
        let mut late = Vec::new();
        let mut nodes = Vec::new();
        if let Ok(root) = serde_json::from_str::<Value>(actors) {
            nodes = cluster(&root["cluster"]);
            walk(&root, 0, &mut |process, depth| {
                processes.push(ProcessLine::read(process, depth));
                late.extend(lateness(process));
            });
        }
        Self {
            ready: ready.status == 200,
            notes: notes(&ready.body),
            numbers: numbers(metrics),
            cluster: nodes,
            odd: odd(oddities),
            late,
            restarts: processes.iter().map(|line| line.restarts).sum(),
            processes,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", if self.ready { "ready" } else { "NOT READY" })?;
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))?;
        self.numbers.iter().try_for_each(|(name, text)| writeln!(f, "{name:<12}{text}"))?;
        self.cluster.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        self.odd.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        self.late.iter().try_for_each(|(name, text)| writeln!(f, "{name:<12}{text}"))?;
        if self.processes.is_empty() {
            return Ok(());
        }
        writeln!(f, "{:<12}{} with {} restarts", "processes", self.processes.len(), self.restarts)?;
        self.processes.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl ProcessLine {
    fn read(process: &Value, depth: usize) -> Self {
        let mut notes = Vec::new();
        if let Some(mailbox) = process.get("mailbox").filter(|mailbox| mailbox.is_object()) {
            notes.push(format!("{}/{} waiting", number(mailbox, "depth"), number(mailbox, "capacity")));
        }
        let restarts = number(process, "restarts");
        if restarts > 0 {
            notes.push(format!("{restarts} restarts"));
            notes.push(format!("last exit: {}", text(process, "last_exit")));
        }
        Self { depth, name: text(process, "name"), state: text(process, "state"), restarts, notes }
    }
}

/// Returns `stuck` or `busy` with the figures, if messages have waited too long. For a process that does not run, its state says
/// enough.
fn lateness(process: &Value) -> Option<(&'static str, String)> {
    let mailbox = process.get("mailbox").filter(|_| text(process, "state") == "running")?;
    let oldest = seconds(mailbox, "oldest_s");
    let stalled = seconds(mailbox, "stalled_s");
    let name = text(process, "name");
    let waiting = format!("{} waiting, the oldest for {oldest:.0} s", number(mailbox, "depth"));
    if stalled >= WAIT_MAX_S {
        return Some(("stuck", format!("{name}: no message taken for {stalled:.0} s; {waiting}")));
    }
    (oldest >= WAIT_MAX_S).then(|| ("busy", format!("{name}: messages are taken, but too slowly; {waiting}")))
}

/// Visits a process and all below it.
fn walk(process: &Value, depth: usize, visit: &mut dyn FnMut(&Value, usize)) {
    if process.get("name").is_none() || depth > DEPTH_MAX {
        return;
    }
    visit(process, depth);
    let children = process.get("children").and_then(Value::as_array);
    for child in children.into_iter().flatten() {
        walk(child, depth + 1, visit);
    }
}

impl fmt::Display for ProcessLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{}{}", "  ".repeat(self.depth + 1), self.name);
        write!(f, "{name:<32} {}", self.state)?;
        self.notes.iter().try_for_each(|note| write!(f, ", {note}"))
    }
}

/// Returns a line for each missing part and each warning. A body that is not JSON is shown unchanged.
fn notes(body: &str) -> Vec<String> {
    let Ok(report) = serde_json::from_str::<Value>(body) else {
        return body.lines().map(str::to_owned).collect();
    };
    [entries(&report, "missing", "missing"), entries(&report, "warnings", "warning")].concat()
}

fn entries(report: &Value, key: &str, mark: &str) -> Vec<String> {
    let entries = report.get(key).and_then(Value::as_object);
    entries.into_iter().flatten().map(|(name, why)| format!("{mark} {name}: {}", bare(why))).collect()
}

/// Returns a line about the cluster, and one for each node that is not heard, or is not as others; none on one machine.
fn cluster(shown: &Value) -> Vec<String> {
    let list = |name: &str| shown.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let members = list("members");
    if members.is_empty() {
        return Vec::new();
    }
    let heard = members.iter().filter(|member| member["heard"] == true).count();
    let leader = match shown["trail"]["leader"].as_str() {
        Some(_) => format!("calls for help led by {}", text(&shown["trail"], "leader")),
        None => "calls for help have no leader".to_owned(),
    };
    let (shards, unowned) = (list("shards"), list("unowned_shards").len());
    let lag = shards.iter().filter_map(|shard| shard["lag"].as_u64()).max().unwrap_or(0);
    let brokers = number(shown, "brokers_connected");
    let mut lines = vec![format!(
        "{:<12}{}, {heard} heard; {}, {unowned} without an owner, {lag} entries behind here at most; {leader}; {brokers} of 2 connections to brokers",
        "cluster",
        counted(members.len() as u64, "node"),
        counted(shards.len() as u64, "shard"),
    )];
    lines.extend(members.iter().filter_map(odd_node));
    lines
}

/// Returns a line about a node that is not heard, or is not as others.
fn odd_node(member: &Value) -> Option<String> {
    let silent_s = number(member, "silent_ms") / 1_000;
    let states = [
        (member["heard"] != true && member["stops"] != true, format!("silent for {silent_s} s")),
        (member["stops"] == true, format!("stopped in order {silent_s} s ago")),
        (member["leaves"] == true, "leaving".to_owned()),
        (member["differs"] == true, "other settings".to_owned()),
        (member["twice"] == true, "two processes".to_owned()),
    ];
    let states: Vec<String> = states.into_iter().filter(|(is_so, _)| *is_so).map(|(_, what)| what).collect();
    (!states.is_empty()).then(|| format!("  {}: {}", text(member, "name"), states.join(", ")))
}

/// Returns a line with the number of odd vehicles by part, and one for each of the latest; none when no vehicle is odd.
fn odd(page: &str) -> Vec<String> {
    let Ok(page) = serde_json::from_str::<Value>(page) else { return Vec::new() };
    let parts = page.get("vehicles").and_then(Value::as_object);
    let counts: Vec<String> = parts
        .into_iter()
        .flatten()
        .filter(|(_, count)| count.as_u64() > Some(0))
        .map(|(part, count)| format!("{count} by {part}"))
        .collect();
    if counts.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("{:<12}{}", "odd", counts.join(", "))];
    let latest = page.get("latest").and_then(Value::as_array);
    lines.extend(latest.into_iter().flatten().take(ODD_MAX).map(odd_vehicle));
    lines
}

fn odd_vehicle(vehicle: &Value) -> String {
    let odd = vehicle.get("odd").and_then(Value::as_array).into_iter().flatten().map(|odd| {
        let [part, what, since] = ["part", "what", "since"].map(|key| text(odd, key));
        format!("{part} {what} in {} reports since {since}", number(odd, "reports"))
    });
    let vehicle_id = vehicle.get("vehicle_id").and_then(Value::as_str).unwrap_or_default();
    format!("  {}: {}", quoted(vehicle_id), odd.collect::<Vec<_>>().join("; "))
}

/// Returns the sum of all samples with this name.
fn sum(metrics: &str, name: &str) -> u64 {
    samples(metrics).filter(|sample| sample.name == name).map(|sample| sample.count()).sum()
}

fn numbers(metrics: &str) -> Vec<(&'static str, String)> {
    let mut numbers = Vec::new();
    if let Some(counts) = Counts::parse(metrics) {
        let fates: Vec<String> = counts
            .fates
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(fate, count)| format!("{count} {fate}"))
            .collect();
        let fates = if fates.is_empty() { "none yet".to_owned() } else { fates.join(" + ") };
        let open = counts.received.saturating_sub(counts.settled());
        let open = if open > 0 { format!(", {open} under way") } else { String::new() };
        numbers.push(("reports", format!("{} received: {fates}{open}", counts.received)));
        numbers.push(("lost before", format!("{} dropped by the kernel", counts.kernel_drops)));
        numbers.push(("vehicles", sum(metrics, "vagn_vehicles").to_string()));
        let unaccepted = sum(metrics, "vagn_incidents_unaccepted");
        numbers.push(("incidents", format!("{unaccepted} not accepted yet; calls: {}", notices(metrics))));
    }
    numbers
}

/// Returns the attempts to send notices, by outcome.
fn notices(metrics: &str) -> String {
    let outcomes = samples(metrics).filter(|sample| sample.name == "vagn_emergencies_total");
    let words = outcomes.filter_map(|sample| Some((sample.label("outcome")?, sample.count())));
    let sorted: BTreeMap<&str, u64> = words.collect();
    sorted.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect::<Vec<_>>().join(", ")
}

fn text(object: &Value, key: &str) -> String {
    object.get(key).map(bare).unwrap_or_default()
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| visible(text, Form::Line).into_owned())
}

fn number(object: &Value, key: &str) -> u64 {
    object.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn seconds(object: &Value, key: &str) -> f64 {
    object.get(key).and_then(Value::as_f64).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "vagn_reports_total{fate=\"stored\"} 90\nvagn_reports_total{fate=\"shed\"} 5\n\
        vagn_reports_received_total 100\nvagn_udp_kernel_drops_total 3\nvagn_vehicles 12\nvagn_incidents_unaccepted 1\n\
        vagn_emergencies_total{outcome=\"accepted\"} 4\nvagn_emergencies_total{outcome=\"retried\"} 2\n";
    const ACTORS: &str = r#"{"name":"vagn","path":"vagn","state":"running","restarts":0,"children":[
        {"name":"traffic","state":"running","restarts":0,"children":[
            {"name":"storage 0","state":"running","restarts":2,"last_exit":"panic: disk gone",
             "mailbox":{"depth":3,"capacity":64}}]}]}"#;

    const ODDITIES: &str = r#"{"vehicles":{"clock":2,"counter":0,"position":1},"latest":[{"vehicle_id":"bus 1","odd":[
        {"part":"clock","what":"time_ahead","since":"2026-11-22T07:00:00.000Z","last":"2026-11-22T08:00:00.000Z","reports":12},
        {"part":"position","what":"no_fix","since":"2026-11-22T07:30:00.000Z","last":"2026-11-22T08:00:00.000Z","reports":3}]}]}"#;

    fn page(status: u16, body: &str) -> Page {
        Page { status, body: body.into() }
    }

    #[test]
    fn shows_the_state_of_a_service() {
        let ready = page(200, r#"{"ready":true,"missing":{},"warnings":{"emergency":"no target"}}"#);
        let picture = Picture::read(&ready, METRICS, ODDITIES, ACTORS);
        assert!(picture.is_ready());
        let said = picture.to_string();
        let want = "ready
  warning emergency: no target
reports     100 received: 5 shed + 90 stored, 5 under way
lost before 3 dropped by the kernel
vehicles    12
incidents   1 not accepted yet; calls: 4 accepted, 2 retried
odd         2 by clock, 1 by position
  \"bus 1\": clock time_ahead in 12 reports since 2026-11-22T07:00:00.000Z; \
position no_fix in 3 reports since 2026-11-22T07:30:00.000Z
processes   3 with 2 restarts
  vagn                           running
    traffic                      running
      storage 0                  running, 3/64 waiting, 2 restarts, last exit: panic: disk gone
";
        assert_eq!(said, want);
    }

    #[test]
    fn shows_the_cluster_and_the_nodes_that_are_missed() {
        let actors = serde_json::json!({"name": "vagn", "state": "running", "cluster": {
            "members": [
                {"name": "north-1", "heard": true, "silent_ms": 0},
                {"name": "south\n-1", "heard": false, "silent_ms": 9_400, "differs": true},
                {"name": "west-1", "heard": false, "stops": true, "silent_ms": 61_000},
            ],
            "shards": [{"shard": 0, "lag": 7}, {"shard": 1, "lag": null}],
            "unowned_shards": [1],
            "brokers_connected": 1,
            "trail": {"leader": "north-1"},
        }});
        let said = Picture::read(&page(200, "{}"), "", "", &actors.to_string()).to_string();
        let want = "ready
cluster     3 nodes, 1 heard; 2 shards, 1 without an owner, 7 entries behind here at most; calls for help led by north-1; 1 of 2 connections to brokers
  south\\u{a}-1: silent for 9 s, other settings
  west-1: stopped in order 61 s ago
processes   1 with 0 restarts
  vagn                           running
";
        assert_eq!(said, want);
    }

    /// Returns the line about a process in this state, with messages that have waited like this.
    fn late(state: &str, oldest_s: f64, stalled_s: f64) -> String {
        let mailbox =
            serde_json::json!({"depth": 3, "capacity": 64, "oldest_s": oldest_s, "stalled_s": stalled_s});
        let actors = serde_json::json!({"name": "ingest", "state": state, "mailbox": mailbox}).to_string();
        let said = Picture::read(&page(200, "{}"), "", "", &actors).to_string();
        let (late, processes) = said.strip_prefix("ready\n").unwrap().split_once("processes").unwrap();
        assert_eq!(processes, format!("   1 with 0 restarts\n  {:<30} {state}, 3/64 waiting\n", "ingest"));
        late.to_owned()
    }

    #[test]
    fn tells_a_stuck_process_from_a_busy_one() {
        let stuck = "stuck       ingest: no message taken for 75 s; 3 waiting, the oldest for 80 s\n";
        let busy = "busy        ingest: messages are taken, but too slowly; 3 waiting, the oldest for 80 s\n";
        assert_eq!(late("running", 80.2, 75.0), stuck);
        assert_eq!(late("running", 80.2, 4.9), busy);
        assert_eq!(late("running", 4.9, 4.9), "");
        assert_eq!(late("waiting", 80.2, 75.0), "", "its own line says that it does not run");
    }

    #[test]
    fn a_vehicle_can_forge_no_line_and_no_other_vehicle() {
        let page =
            r#"{"vehicles":{"clock":1},"latest":[{"vehicle_id":"bus\u202e\n\u001b[2Jready","odd":[]}]}"#;
        assert_eq!(odd(page)[1], "  \"bus\\u{202e}\\n\\u{1b}[2Jready\": ");
        let notes = notes(r#"{"missing":{"web":"gone\nready"}}"#);
        assert_eq!(notes, ["missing web: gone\\u{a}ready"]);
    }

    #[test]
    fn shows_the_missing_parts() {
        let waiting = page(503, r#"{"ready":false,"missing":{"partition 0":"recovering"},"warnings":{}}"#);
        let picture = Picture::read(&waiting, "", "", "");
        assert!(!picture.is_ready());
        assert_eq!(picture.to_string(), "NOT READY\n  missing partition 0: recovering\n");
    }

    #[test]
    fn copes_with_pages_of_an_unknown_shape() {
        for strange in
            ["", "{}", "[]", "null", "{\"name\":[{}],\"children\":[{\"children\":{}}]}", "not json"]
        {
            let picture = Picture::read(&page(404, strange), strange, strange, strange);
            assert!(!picture.is_ready());
            assert!(picture.to_string().starts_with("NOT READY\n"));
        }
    }
}
