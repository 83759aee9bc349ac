//! More than the service can take, and calls for help among it.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::net::UdpSocket;
use std::process::Stdio;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use vagn_load::Fleet;
use vagn_load::balance::Counts;
use vagn_load::exposition::samples;
use vagn_load::pace::Rate;
use vagn_wire::{Position, Report, VehicleId};

use crate::bench::Bench;
use crate::load::{self, Load, joined};
use crate::machine::CLIENT_CORE;
use crate::process::{Process, on_cores};
use crate::quota::Quota;
use crate::section::{Axis, Bound, Plot, Section, Series};
use crate::service::Service;
use crate::stats::{percent, percentile, short, time};

/// Period in which the limited service gets 1 ms: a tenth of a core, so that twenty times of what it takes is within reach of
/// one sender.
const PERIOD_US: u32 = 10_000;

/// The same for the threads that decode and store alone.
const STORE_PERIOD_US: u32 = 20_000;

/// What the names of those threads begin with.
const STORE_THREADS: [&str; 2] = ["storage", "ingest"];

/// Times that each call is sent.
const COPIES: usize = 3;

/// Vehicles that send positions meanwhile.
const FLEET: u32 = 100_000;

/// How long all calls may take to arrive after the last was sent.
const CALLED_WITHIN: Duration = Duration::from_secs(20);

/// How the service is made slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// Not at all.
    None,
    /// All of it.
    Service,
    /// What decodes and stores.
    Store,
}

impl Limit {
    fn set(self, service: &Service) -> anyhow::Result<Option<Quota>> {
        let pid = service.process().pid();
        match self {
            Self::None => Ok(None),
            Self::Service => Quota::process(pid, PERIOD_US).map(Some),
            Self::Store => Quota::threads(pid, &STORE_THREADS, STORE_PERIOD_US).map(Some),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Service => "the service",
            Self::Store => "the store",
        }
    }
}

/// What is done to the service.
#[derive(Debug, Clone, Copy)]
struct Case {
    limit: Limit,
    /// Of what the limited service stores at most.
    times: f64,
    /// The flag comes last, so that the kernel steers the call to a socket of its own.
    steered: bool,
}

/// What came of it.
struct Measured {
    case: Case,
    most: f64,
    sent_per_s: f64,
    stored_per_s: f64,
    called: usize,
    first_lost: usize,
    waits_s: Vec<f64>,
    bounds_s: [f64; 2],
}

/// Fills the section.
pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    let vehicles = bench.pick(1000, 200);
    let spacing_s = bench.pick(3.0, 1.0);
    let [most, most_store] = [maximum(bench, Limit::Service)?, maximum(bench, Limit::Store)?];
    section.say(format!(
        "The service is made slow in two ways, by a control group (`cpu` controller). *The service*: all of it together gets 1 ms in \
         each 10 ms and stands still for the rest, which adds 10 ms wherever a thread hands on to another that has not had its turn; so it \
         stores {}/s at most. *The store*: only the threads that decode and store get 1 ms in each 20 ms, as if the store were slow, \
         and the doors and calls are as always; so it stores {}/s at most. *Times* is what is offered against these maxima.",
        short(most), short(most_store)
    ));
    let most = |case: &Case| if case.limit == Limit::Store { most_store } else { most };
    section.say(format!(
        "Meanwhile {vehicles} vehicles that the service knows call for help over UDP, each {COPIES} times, {spacing_s} s apart, to \
         `vagn sink`. *Flag last* is the original's layout, whose last byte the kernel sees and steers to a socket of its own; *flag \
         first* is the same without that, so that calls stand in line with positions. A first copy is lost when the call was only \
         heard from a later copy. Receive → first attempt is the age that the call itself states, in whole milliseconds; beside it \
         the bucket of `vagn_emergency_first_attempt_seconds` that it falls into."
    ));
    section.heads(&[
        "limited",
        "times",
        "sent/s",
        "stored/s",
        "of its maximum",
        "layout",
        "called",
        "first copies lost",
        "receive → first attempt p50",
        "p99",
        "p50, p99 by histogram",
    ]);
    let mut results = Vec::new();
    for case in cases(bench) {
        bench.progress(format!("overload: {case:?}"));
        let result = measure(bench, case, most(&case), vehicles, spacing_s)?;
        section.row(row(&result, vehicles));
        results.push(result);
    }
    aims(section, &results, vehicles);
    section.plots = vec![plot(&results)];
    section.command("# the calls by hand:");
    section.command("vagn sink --json & vagn serve --emergency-url http://127.0.0.1:9099/calls &");
    section.command("vagn simulate --vehicles 100000 --rate max & vagn simulate --vehicles 1000 --emergency-ratio 1 --rate 250 --count 3000");
    Ok(())
}

fn cases(bench: &Bench) -> Vec<Case> {
    let case = |limit, times, steered| Case { limit, times, steered };
    let all = [
        case(Limit::None, 0.0, true),
        case(Limit::None, 0.0, false),
        case(Limit::Service, 0.0, true),
        case(Limit::Service, 2.0, true),
        case(Limit::Service, 5.0, true),
        case(Limit::Service, 20.0, true),
        case(Limit::Service, 20.0, false),
        case(Limit::Store, 2.0, true),
        case(Limit::Store, 5.0, true),
        case(Limit::Store, 20.0, true),
        case(Limit::Store, 20.0, false),
    ];
    if bench.quick { [0, 2, 5, 9, 10].map(|at| all[at]).into() } else { all.into() }
}

/// What the limited service stores at most: offered more and more, until more brings nothing.
fn maximum(bench: &Bench, limit: Limit) -> anyhow::Result<f64> {
    let (service, mut fleet) = start(bench, None)?;
    let _quota = limit.set(&service)?;
    let mut most: f64 = 0.0;
    let mut rate = 40e3;
    while rate < 3.0 * most.max(20e3) {
        let load = Load { rate: Rate::PerSecond(rate), seconds: bench.pick(2.0, 1.0), segments: true };
        let stored = load::measure(&service, &mut fleet, load)?.stored_per_s;
        bench.progress(format!(
            "overload: {} limited, offered {}: {}",
            limit.word(),
            short(rate),
            short(stored)
        ));
        most = most.max(stored);
        rate *= 1.5;
    }
    drop(service);
    Ok(most)
}

fn start(bench: &Bench, emergency_url: Option<&str>) -> anyhow::Result<(Service, Fleet)> {
    let mut plan = bench.fresh();
    if let Some(url) = emergency_url {
        plan = plan.with("EMERGENCY_URL", url);
    }
    load::warmed(plan, FLEET)
}

fn measure(
    bench: &Bench,
    case: Case,
    most: f64,
    vehicles: usize,
    spacing_s: f64,
) -> anyhow::Result<Measured> {
    let mut command = on_cores(&CLIENT_CORE.to_string(), &bench.vagn);
    command.args(["sink", "--listen", "127.0.0.1:0", "--json"]).stdin(Stdio::null());
    let mut sink = Process::start(&mut command)?;
    let heard: Value = serde_json::from_str(&sink.line()?).context("read where the sink listens")?;
    let url =
        format!("http://{}/calls", heard["listening"].as_str().context("the sink says where it listens")?);
    let output = sink.take_output().context("listen to the sink")?;
    let calls = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        scope.spawn(|| listen(output, &calls));
        let result = under_load(bench, case, most, vehicles, spacing_s, &url, &calls);
        drop(sink);
        result
    })
}

/// A call as it was first accepted.
struct Called {
    received_ms: i64,
    age_s: f64,
}

fn listen(output: impl BufRead, calls: &Mutex<BTreeMap<String, Called>>) {
    for line in output.lines().map_while(Result::ok) {
        let Some((vehicle_id, called)) = read_call(&line) else { continue };
        let mut calls = calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        calls.entry(vehicle_id).or_insert(called);
    }
}

fn read_call(line: &str) -> Option<(String, Called)> {
    let value: Value = serde_json::from_str(line).ok()?;
    let call = &value["call"];
    let received: jiff::Timestamp = call["received_at"].as_str()?.parse().ok()?;
    let accepted = value["outcome"] == "accepted";
    let called = Called { received_ms: received.as_millisecond(), age_s: call["age_s"].as_f64()? };
    accepted.then_some((call["vehicle_id"].as_str()?.to_owned(), called))
}

fn under_load(
    bench: &Bench,
    case: Case,
    most: f64,
    vehicles: usize,
    spacing_s: f64,
    url: &str,
    calls: &Mutex<BTreeMap<String, Called>>,
) -> anyhow::Result<Measured> {
    let (service, mut fleet) = start(bench, Some(url))?;
    introduce(&service, vehicles)?;
    let _quota = case.limit.set(&service)?;
    let before = service.counts()?;
    let udp = service.address("udp")?;
    let work = || {
        // The flood fills the queues first.
        thread::sleep(Duration::from_secs_f64(spacing_s / 4.0));
        let begun = (Instant::now(), stored(&service.counts()?, &before));
        let sent_ms = thread::scope(|scope| {
            joined(scope.spawn(|| call_for_help(udp, vehicles, spacing_s, case.steered)))
        })?;
        let ended = (Instant::now(), stored(&service.counts()?, &before));
        let per_s = (ended.1 - begun.1) / (ended.0 - begun.0).as_secs_f64();
        Ok((sent_ms, per_s))
    };
    let ((sent_ms, stored_per_s), sent_per_s) = match case.times {
        0.0 => (work()?, 0.0),
        times => {
            let rate = Rate::PerSecond(times * most);
            let (done, sent) = load::while_sending(&mut fleet, udp, rate, true, work)?;
            (done, sent.rate())
        }
    };
    wait_for_calls(calls, vehicles);
    let bounds_s = [0.5, 0.99].map(|share| bucket(&service.metrics().unwrap_or_default(), share));
    let calls = calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let firsts = (0..vehicles).filter(|vehicle| first_copy(&calls, *vehicle, &sent_ms) == Some(0)).count();
    Ok(Measured {
        case,
        most,
        sent_per_s,
        stored_per_s,
        called: calls.len(),
        first_lost: vehicles - firsts,
        waits_s: calls.values().map(|call| call.age_s).collect(),
        bounds_s,
    })
}

fn stored(now: &Counts, before: &Counts) -> f64 {
    let count = |counts: &Counts| counts.fates.get("stored").copied().unwrap_or(0);
    (count(now) - count(before)) as f64
}

fn caller(vehicle: usize) -> String {
    format!("00000000-0000-4000-9000-{vehicle:012x}")
}

/// Where its latitude, the last number of a report whose flag comes first, does not end as a set flag does.
fn place(vehicle: usize) -> (f64, f64) {
    let lat = 30.0 + vehicle as f64 * 1e-4;
    let steered = lat.to_be_bytes()[7] == 0xc3;
    (if steered { lat + 1e-9 } else { lat }, -97.0)
}

/// Makes those who will call known: one who was never heard of before has to stand back.
fn introduce(service: &Service, vehicles: usize) -> anyhow::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("bind udp socket")?;
    for vehicle in 0..vehicles {
        socket.send_to(&report(vehicle, false, true)?, service.address("udp")?).context("send a report")?;
    }
    let started = Instant::now();
    while service.vehicles()? < u64::from(FLEET) + vehicles as u64 {
        ensure!(started.elapsed() < CALLED_WITHIN, "those who will call do not become known");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Sends all calls, evenly spread; gives when each copy left, in ms since 1970.
fn call_for_help(
    udp: std::net::SocketAddr,
    vehicles: usize,
    spacing_s: f64,
    steered: bool,
) -> anyhow::Result<Vec<[i64; COPIES]>> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("bind udp socket")?;
    let mut sent_ms = vec![[0; COPIES]; vehicles];
    let started = Instant::now();
    for copy in 0..COPIES {
        for (vehicle, sent_ms) in sent_ms.iter_mut().enumerate() {
            let due = spacing_s * (copy as f64 + vehicle as f64 / vehicles as f64);
            thread::sleep(Duration::from_secs_f64(due).saturating_sub(started.elapsed()));
            sent_ms[copy] = jiff::Timestamp::now().as_millisecond();
            socket.send_to(&report(vehicle, true, steered)?, udp).context("send a call for help")?;
        }
    }
    Ok(sent_ms)
}

/// In the original's layout, or with the flag in front.
fn report(vehicle: usize, emergency: bool, flag_last: bool) -> anyhow::Result<Vec<u8>> {
    let ((lat, lon), id) = (place(vehicle), caller(vehicle));
    let position = Position::new(lat, lon).ok().context("a place on the globe")?;
    let id = VehicleId::new(&id).ok().context("a UUID is an id")?;
    let mut bytes = Vec::new();
    vagn_wire::encode(&Report { emergency, ..Report::new(id, position) }, &mut bytes);
    if !flag_last {
        // Behind the head of the map stand the pairs; the last is 11 bytes long.
        let flag = bytes.split_off(bytes.len() - 11);
        bytes.splice(1..1, flag);
        ensure!(bytes.last() != Some(&0xc3), "this place ends as a set flag does");
    }
    Ok(bytes)
}

fn wait_for_calls(calls: &Mutex<BTreeMap<String, Called>>, vehicles: usize) {
    let started = Instant::now();
    let count = || calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len();
    while count() < vehicles && started.elapsed() < CALLED_WITHIN {
        thread::sleep(Duration::from_millis(50));
    }
}

/// Which copy was the first to be heard: the last one that had been sent by then.
fn first_copy(calls: &BTreeMap<String, Called>, vehicle: usize, sent_ms: &[[i64; COPIES]]) -> Option<usize> {
    let received_ms = calls.get(&caller(vehicle))?.received_ms;
    sent_ms[vehicle].iter().rposition(|sent_ms| *sent_ms <= received_ms + 1)
}

/// Upper end, in seconds, of the bucket that holds the given share.
fn bucket(page: &str, share: f64) -> f64 {
    let buckets: Vec<_> = samples(page)
        .filter(|sample| sample.name == "vagn_emergency_first_attempt_seconds_bucket")
        .filter_map(|sample| {
            Some((sample.label("le")?.parse::<f64>().unwrap_or(f64::INFINITY), sample.value))
        })
        .collect();
    let total = buckets.last().map_or(0.0, |(_, count)| *count);
    buckets
        .iter()
        .find(|(_, count)| total > 0.0 && *count >= share * total)
        .map_or(f64::NAN, |(bound, _)| *bound)
}

fn row(result: &Measured, vehicles: usize) -> [Value; 11] {
    let Case { limit, times, steered } = result.case;
    let most = result.most;
    let mut waits = result.waits_s.clone();
    let idle = times == 0.0;
    [
        json!(limit.word()),
        json!(if idle {
            "idle".to_owned()
        } else {
            format!("{times}× ({:.1}×)", result.sent_per_s / most)
        }),
        json!(if idle { "0".to_owned() } else { short(result.sent_per_s) }),
        json!(if idle { "–".to_owned() } else { short(result.stored_per_s) }),
        json!(if idle { "–".to_owned() } else { percent(result.stored_per_s / most) }),
        json!(if steered { "flag last" } else { "flag first" }),
        json!(format!("{} of {vehicles}", result.called)),
        json!(format!("{} ({})", result.first_lost, percent(result.first_lost as f64 / vehicles as f64))),
        json!(age(percentile(&mut waits, 0.5))),
        json!(age(percentile(&mut waits, 0.99))),
        json!(result.bounds_s.map(|bound| format!("≤ {}", time(bound))).join(", ")),
    ]
}

/// Known in whole milliseconds.
fn age(seconds: f64) -> String {
    if seconds < 0.001 { "< 1 ms".to_owned() } else { time(seconds) }
}

fn aims(section: &mut Section, results: &[Measured], vehicles: usize) {
    let loaded = || results.iter().filter(|result| result.case.times > 0.0);
    let least = loaded().map(|result| result.stored_per_s / result.most).fold(f64::NAN, f64::min);
    section.aim("Overload: stored/s at worst, of the maximum", Bound::AtLeast(0.9), least, percent);
    for (steered, layout) in [(true, "flag last, as docs/wire.md asks for"), (false, "flag first")] {
        let of = results.iter().filter(|result| result.case.steered == steered);
        let uncalled: usize = of.map(|result| vehicles - result.called.min(vehicles)).sum();
        let what = format!("Emergencies not called, in all cases together ({layout})");
        section.aim(what, Bound::AtMost(0.0), uncalled as f64, short);
    }
    let p99 = |result: &Measured| percentile(&mut result.waits_s.clone(), 0.99);
    for (limit, how) in [(Limit::Store, "slow store"), (Limit::Service, "slow service")] {
        let of = loaded().filter(|result| result.case.steered && result.case.limit == limit);
        let worst = of.map(p99).fold(f64::NAN, f64::max);
        section.aim(
            format!("Receive → first attempt under overload ({how}), p99"),
            Bound::AtMost(0.05),
            worst,
            age,
        );
    }
    let idle =
        results.iter().filter(|result| result.case.limit == Limit::None).map(p99).fold(f64::NAN, f64::max);
    section.aim("Receive → first attempt idle, p99", Bound::AtMost(0.005), idle, age);
}

fn plot(results: &[Measured]) -> Plot {
    let of = |name: &str, limit: Limit, share: f64| Series {
        name: name.to_owned(),
        points: results
            .iter()
            .filter(|result| result.case.limit == limit && result.case.steered)
            .map(|result| [result.case.times, 1e3 * percentile(&mut result.waits_s.clone(), share)])
            .collect(),
    };
    Plot {
        title: "Calls for help under overload".to_owned(),
        x: Axis { label: "times the maximum of the limited service".to_owned(), log: false },
        y: Axis { label: "receive → first attempt, ms".to_owned(), log: false },
        series: vec![
            of("slow service, p50", Limit::Service, 0.5),
            of("slow service, p99", Limit::Service, 0.99),
            of("slow store, p50", Limit::Store, 0.5),
            of("slow store, p99", Limit::Store, 0.99),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_the_same_with_its_flag_in_front() {
        for vehicle in 0..1000 {
            let (last, first) = (report(vehicle, true, true).unwrap(), report(vehicle, true, false).unwrap());
            assert_eq!((last.len(), last.last()), (79, Some(&0xc3)));
            assert_ne!(first.last(), Some(&0xc3));
            assert_eq!(vagn_wire::decode(&first), vagn_wire::decode(&last));
        }
    }

    #[test]
    fn knows_which_copy_was_heard_first() {
        let check = |received_ms, want| {
            let called = Called { received_ms, age_s: 0.0 };
            let calls = [(caller(0), called)].into();
            assert_eq!(first_copy(&calls, 0, &[[1000, 2000, 3000]]), want);
        };
        check(1000, Some(0));
        check(1990, Some(0));
        check(2000, Some(1));
        check(9000, Some(2));
        assert_eq!(first_copy(&BTreeMap::new(), 0, &[[1000, 2000, 3000]]), None);
    }

    #[test]
    fn finds_the_bucket_of_a_share() {
        let page = "\
vagn_emergency_first_attempt_seconds_bucket{le=\"0.001\"} 0
vagn_emergency_first_attempt_seconds_bucket{le=\"0.005\"} 90
vagn_emergency_first_attempt_seconds_bucket{le=\"0.01\"} 99
vagn_emergency_first_attempt_seconds_bucket{le=\"+Inf\"} 100
";
        assert_eq!((bucket(page, 0.5), bucket(page, 0.99), bucket(page, 1.0)), (0.005, 0.01, f64::INFINITY));
        assert!(bucket("", 0.5).is_nan());
    }

    #[test]
    fn reads_what_the_sink_prints() {
        let line = r#"{"outcome":"accepted","call":{"vehicle_id":"a","received_at":"1970-01-01T00:00:01.500Z","age_s":0.004}}"#;
        let (id, called) = read_call(line).unwrap();
        assert_eq!((id.as_str(), called.received_ms, called.age_s), ("a", 1500, 0.004));
        assert!(read_call(&line.replace("accepted", "failed")).is_none());
    }
}
