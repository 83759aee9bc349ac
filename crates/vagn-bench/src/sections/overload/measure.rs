//! One case: a service under load, alarms sent to it, and the notices that come of them.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;
use vagn_load::balance::Counts;
use vagn_load::exposition::samples;
use vagn_load::pace::Rate;

use super::alarms::{self, Alarms};
use super::limit::Limit;
use super::notices::{Notices, first_copy};
use super::{COPIES, start};
use crate::bench::Bench;
use crate::load;
use crate::machine::CLIENT_CORE;
use crate::process::{Process, on_cores};
use crate::service::Service;

/// Load on a service, and the layout of its alarms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) limit: Limit,
    /// Reports offered, in multiples of the limited service's maximum.
    pub(super) times: f64,
    /// The flag comes last, so that the kernel steers the alarm to a socket of its own.
    pub(super) steered: bool,
}

/// Figures of a case.
pub(super) struct CaseResult {
    pub(super) case: Case,
    /// Maximum of the limited service, in reports per second.
    pub(super) most: f64,
    pub(super) sent_per_s: f64,
    pub(super) stored_per_s: f64,
    /// Vehicles for which a notice was accepted.
    pub(super) noticed: usize,
    /// Vehicles whose first copy was lost.
    pub(super) first_lost: usize,
    pub(super) waits_s: Vec<f64>,
    /// Histogram buckets of the 50th and the 99th percentile.
    pub(super) bounds_s: [f64; 2],
}

/// Measures a case. The sink runs on the sender's core.
pub(super) fn measure(bench: &Bench, case: Case, most: f64, alarms: Alarms) -> anyhow::Result<CaseResult> {
    let mut command = on_cores(&CLIENT_CORE.to_string(), &bench.vagn);
    command.args(["sink", "--listen", "127.0.0.1:0", "--json"]).stdin(Stdio::null());
    let mut sink = Process::start(&mut command)?;
    let said: Value = serde_json::from_str(&sink.line()?).context("read where the sink listens")?;
    let address = said["listening"].as_str().context("the sink says where it listens")?;
    let url = format!("http://{address}/calls");
    let output = sink.take_output().context("listen to the sink")?;
    let notices = Notices::default();
    thread::scope(|scope| {
        scope.spawn(|| notices.listen(output));
        let result = under_load(bench, case, most, alarms, &url, &notices);
        // Ends the output of the sink, and with it the thread that reads it.
        drop(sink);
        result
    })
}

fn under_load(
    bench: &Bench,
    case: Case,
    most: f64,
    alarms: Alarms,
    url: &str,
    notices: &Notices,
) -> anyhow::Result<CaseResult> {
    let vehicles = alarms.vehicles;
    let (service, mut fleet) = start(bench, Some(url))?;
    alarms::introduce(&service, vehicles)?;
    let _quota = case.limit.set(&service)?;
    let (raised, sent_per_s) = match case.times {
        0.0 => (raise(&service, alarms, case.steered)?, 0.0),
        times => {
            let rate = Rate::PerSecond(times * most);
            let udp = service.address("udp")?;
            let work = || raise(&service, alarms, case.steered);
            let (raised, sent) = load::while_sending(&mut fleet, udp, rate, true, work)?;
            (raised, sent.rate())
        }
    };
    notices.wait_for(vehicles);
    let metrics = service.metrics().unwrap_or_default();
    let notices = notices.lock();
    let firsts =
        (0..vehicles).filter(|vehicle| first_copy(&notices, *vehicle, &raised.sent_ms) == Some(0)).count();
    Ok(CaseResult {
        case,
        most,
        sent_per_s,
        stored_per_s: raised.stored_per_s,
        noticed: notices.len(),
        first_lost: vehicles - firsts,
        waits_s: notices.values().map(|notice| notice.age_s).collect(),
        bounds_s: [0.5, 0.99].map(|share| bucket(&metrics, share)),
    })
}

/// Alarms that were sent.
struct Raised {
    /// Times at which the copies of each vehicle's alarm left.
    sent_ms: Vec<[i64; COPIES]>,
    /// Rate of reports stored meanwhile.
    stored_per_s: f64,
}

/// Sends the alarms, and looks at the number of stored reports before and after.
fn raise(service: &Service, alarms: Alarms, steered: bool) -> anyhow::Result<Raised> {
    // The flood fills the queues first.
    thread::sleep(Duration::from_secs_f64(alarms.spacing_s / 4.0));
    let begun = Instant::now();
    let before = service.counts()?;
    let sent_ms = alarms::send_all(service.address("udp")?, alarms, steered)?;
    let took = begun.elapsed();
    let after = service.counts()?;
    let stored_per_s = (stored(&after) - stored(&before)) as f64 / took.as_secs_f64();
    Ok(Raised { sent_ms, stored_per_s })
}

fn stored(counts: &Counts) -> u64 {
    counts.fates.get("stored").copied().unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
