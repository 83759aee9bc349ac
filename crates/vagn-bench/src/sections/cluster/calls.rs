//! The time from a vehicle that calls for help to the target, with everything in order and without brokers.

use std::net::UdpSocket;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use vagn_wire::{Position, Report, VehicleId, encode};

use super::rig::{Layout, Rig};
use super::target::Target;
use crate::bench::Bench;
use crate::brokers::BROKERS;
use crate::section::{Bound, Section, Table};
use crate::stats::{grouped, percentile, time};

/// Pause between two calls.
const PACE: Duration = Duration::from_millis(25);

/// Longest wait for the notices.
const WITHIN: Duration = Duration::from_secs(30);

/// Time that nodes have to find out who leads, and that they have no brokers any more.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    let columns = ["first attempt", "calls", "p50", "p99", "most"].map(str::to_owned).to_vec();
    let mut table = Table { title: "Calls for help".to_owned(), columns, rows: Vec::new() };
    let target = Target::bind()?;
    let measured = thread::scope(|scope| {
        scope.spawn(|| target.serve(scope));
        let measured = measure(bench, section, &target);
        target.end();
        measured
    });
    table.rows = measured?;
    section.tables.push(table);
    section.say(
        "Calls for help come over UDP, one each 25 ms, each of a vehicle that was never heard before, to the doors of the three nodes in turn. \
         The time is that from the sending of the datagram until the target, in the same process, has read the whole notice. *Idle* is recorded \
         first, at two of three brokers that sync; *brokers gone* is the same with all brokers killed, where a leader waits 100 ms for a record \
         and a door 250 ms for a leader before they call all the same.",
    );
    Ok(())
}

/// Measures both cases, and returns their rows.
fn measure(bench: &Bench, section: &mut Section, target: &Target) -> anyhow::Result<Vec<Vec<Value>>> {
    let url = target.url();
    let further = [("CLUSTER_ROLE", "ingest,store,query,emergency"), ("EMERGENCY_URL", url.as_str())];
    let mut rows = Vec::new();
    let dir = bench.scratch.join("cluster");
    let mut rig = Rig::start_with(bench, &dir, Layout::Alike, "always", &further)?;
    sleep(SETTLED_AFTER);
    let cases = [("idle", 0.020), ("brokers gone", 0.400)];
    for (name, limit_s) in cases {
        bench.progress(format!("cluster: first attempts, {name}"));
        if name != "idle" {
            (1..=BROKERS).try_for_each(|broker| rig.brokers.order(&format!("kill {broker}")))?;
            sleep(SETTLED_AFTER);
        }
        let mut took_s = call(&rig, target, name, bench.pick(600, 60))?;
        let p99_s = percentile(&mut took_s, 0.99);
        rows.push(vec![
            json!(name),
            json!(grouped(took_s.len() as f64)),
            json!(time(percentile(&mut took_s, 0.5))),
            json!(time(p99_s)),
            json!(time(percentile(&mut took_s, 1.0))),
        ]);
        section.aim(
            format!("First attempt of a call in a cluster, {name}, p99"),
            Bound::AtMost(limit_s),
            p99_s,
            time,
        );
    }
    Ok(rows)
}

/// Has so many vehicles call, and returns the time that each first attempt took.
fn call(rig: &Rig, target: &Target, name: &str, count: usize) -> anyhow::Result<Vec<f64>> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("bind udp socket")?;
    let doors = rig.doors();
    let mut sent = Vec::new();
    for number in 0..count {
        let vehicle = format!("{name} {number}");
        let datagram = datagram(&vehicle)?;
        let door = doors[number % doors.len()].address("udp")?;
        sent.push((vehicle, Instant::now()));
        socket.send_to(&datagram, door).context("send a call")?;
        sleep(PACE);
    }
    let until = Instant::now() + WITHIN;
    let mut took_s = Vec::new();
    for (vehicle, at) in sent {
        let came = loop {
            if let Some(came) = target.came(&vehicle) {
                break came;
            }
            ensure!(Instant::now() < until, "no notice about {vehicle:?} came within {} s", WITHIN.as_secs());
            sleep(PACE);
        };
        took_s.push(came.saturating_duration_since(at).as_secs_f64());
    }
    Ok(took_s)
}

fn datagram(vehicle: &str) -> anyhow::Result<Vec<u8>> {
    let id = VehicleId::new(vehicle).ok().context("take a vehicle id")?;
    let position = Position::new(59.3, 18.0).ok().context("take a place on the globe")?;
    let mut bytes = Vec::new();
    encode(&Report { emergency: true, ..Report::new(id, position) }, &mut bytes);
    Ok(bytes)
}
