//! Traffic for a measurement: a simulated fleet, sent over UDP from the core of this process, and its outcome.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use vagn_load::Fleet;
use vagn_load::Source;
use vagn_load::balance::{Balance, Counts};
use vagn_load::fleet::{Extras, FleetSettings};
use vagn_load::pace::Rate;
use vagn_load::source::{Batch, NAP_MAX, Next, Tally};
use vagn_load::udp::{Sender, Sent};

use crate::bare::Bare;
use crate::service::{Plan, Service};

/// Most datagrams in one system call.
const SEND_MAX: usize = 64;

/// Rate of warming, in reports per second: at this rate no report was ever lost by a service on one core.
const WARM_RATE: f64 = 400_000.0;

/// Number of rounds of all vehicles before a service that still misses some is given up.
const WARM_ROUNDS: u32 = 5;

/// Rate from which a sender of segments waits until a message is full, at most a quarter of a millisecond.
const FULL_FROM: f64 = 250_000.0;

/// Longest wait until a service is idle.
const SETTLE_WITHIN: Duration = Duration::from_secs(20);

/// Load on a receiver.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Rate of reports, per second.
    pub rate: Rate,
    /// Length of the load, in seconds.
    pub seconds: f64,
    /// True if reports leave as segments of one message (`UDP_SEGMENT`): 64 in each at high rates, and those that are due at
    /// once at lower rates.
    pub segments: bool,
}

/// Outcome of a load.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Reports sent per second.
    pub sent_per_s: f64,
    /// Reports stored per second while they were sent.
    pub stored_per_s: f64,
    /// Share of one core that the receiver used meanwhile.
    pub cpu: f64,
    /// Part of `cpu` in the service's own code, the rest being the kernel's; NaN for the bare counter.
    pub user: f64,
    /// Number of reports sent.
    pub sent: f64,
    /// Share of them that the kernel dropped.
    pub dropped: f64,
    /// Share of them that the service shed.
    pub shed: f64,
    /// Share of them that was not stored, for any reason.
    pub lost: f64,
}

/// Makes a fleet of so many vehicles.
pub fn fleet(vehicles: u32) -> Fleet {
    with_extras(vehicles, Extras::default())
}

/// Makes a fleet of so many vehicles, whose reports carry their time: `start_ms`, and what has passed since the start.
pub fn timed_fleet(vehicles: u32, start_ms: i64) -> Fleet {
    with_extras(vehicles, Extras { start_ms: Some(start_ms), ..Extras::default() })
}

/// Time of this machine's clock, in ms since 1970.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn with_extras(vehicles: u32, extras: Extras) -> Fleet {
    Fleet::new(FleetSettings {
        vehicles,
        rate: Rate::Max,
        count: Some(0),
        duration: None,
        emergency_ratio: 0.0,
        seed: 1,
        extras,
    })
}

/// Starts a service and lets it get to know so many vehicles. Gives both once the service is idle.
///
/// # Errors
/// When it does not start, or does not get to know them.
pub fn warmed(plan: Plan, vehicles: u32) -> anyhow::Result<(Service, Fleet)> {
    let service = Service::start(plan)?;
    let mut fleet = fleet(vehicles);
    warm(&service, &mut fleet, vehicles)?;
    Ok((service, fleet))
}

/// Lets every vehicle report, in rounds until the service knows all of them, and waits until it is idle.
///
/// # Errors
/// When it does not get to know them.
pub fn warm(service: &Service, fleet: &mut Fleet, vehicles: u32) -> anyhow::Result<()> {
    for _ in 0..WARM_ROUNDS {
        let before = service.counts()?;
        let pace = Rate::PerSecond(WARM_RATE);
        fleet.go_on(pace, Some(vehicles.into()), None);
        let sent = send(fleet, service.address("udp")?, pace, true, &AtomicBool::new(false))?;
        Balance::draw(service.ops(), &before, sent.tally.reports, SETTLE_WITHIN)?;
        if service.vehicles()? >= u64::from(vehicles) {
            return Ok(());
        }
    }
    bail!("the service knows {} vehicles of {vehicles}", service.vehicles()?)
}

/// Sends the load to the service and gives the outcome.
///
/// # Errors
/// When the service cannot be reached.
pub fn measure(service: &Service, fleet: &mut Fleet, load: Load) -> anyhow::Result<Outcome> {
    fleet.go_on(load.rate, None, None);
    measure_source(service, fleet, load)
}

/// Sends what this source gives to the service, as it is due, and gives the outcome.
///
/// # Errors
/// When the service cannot be reached, or the source cannot be read.
pub fn measure_source(
    service: &Service,
    source: &mut (impl Source + Send),
    load: Load,
) -> anyhow::Result<Outcome> {
    let before = service.counts()?;
    let (sent, window) =
        observe(source, service.address("udp")?, load, || Look::at_service(service, &before))?;
    let balance = Balance::draw(service.ops(), &before, sent.tally.reports, SETTLE_WITHIN)?;
    // A piece of merged datagrams that the kernel drops counts as one.
    let uncounted = if service.merges() { balance.counts.kernel_drops * (SEND_MAX as u64 - 1) } else { 0 };
    let missing = balance.missing();
    ensure!((0..=uncounted.into()).contains(&missing), "the balance does not add up: {balance}");
    let dropped = balance.counts.kernel_drops + u64::try_from(missing)?;
    Ok(Outcome {
        dropped: share(dropped, &sent),
        shed: share(fate(&balance.counts, "shed"), &sent),
        lost: share(sent.tally.reports.saturating_sub(fate(&balance.counts, "stored")), &sent),
        ..outcome(&sent, window)
    })
}

fn fate(counts: &Counts, name: &str) -> u64 {
    counts.fates.get(name).copied().unwrap_or(0)
}

fn share(count: u64, sent: &Sent) -> f64 {
    count as f64 / (sent.tally.reports as f64).max(1.0)
}

/// Sends the load to the bare counter.
///
/// # Errors
/// When it has ended.
pub fn measure_bare(bare: &mut Bare, fleet: &mut Fleet, load: Load) -> anyhow::Result<Outcome> {
    let address = bare.address;
    let before = bare.count()?;
    fleet.go_on(load.rate, None, None);
    let (sent, window) = observe(fleet, address, load, || {
        let count = bare.count()? - before;
        Ok(Look { at: Instant::now(), count: count as f64, cpu_s: bare.cpu_s(), user_s: f64::NAN })
    })?;
    thread::sleep(Duration::from_millis(100));
    let counted = (bare.count()? - before) as f64;
    let lost = 1.0 - counted / (sent.tally.reports as f64).max(1.0);
    Ok(Outcome { dropped: lost, shed: 0.0, lost, ..outcome(&sent, window) })
}

fn outcome(sent: &Sent, (first, last): (Look, Look)) -> Outcome {
    let seconds = (last.at - first.at).as_secs_f64();
    Outcome {
        sent_per_s: sent.rate(),
        stored_per_s: (last.count - first.count) / seconds,
        cpu: (last.cpu_s - first.cpu_s) / seconds,
        user: (last.user_s - first.user_s) / seconds,
        sent: sent.tally.reports as f64,
        dropped: f64::NAN,
        shed: f64::NAN,
        lost: f64::NAN,
    }
}

/// Counters of a receiver at one moment.
struct Look {
    at: Instant,
    count: f64,
    cpu_s: f64,
    user_s: f64,
}

impl Look {
    fn at_service(service: &Service, before: &Counts) -> anyhow::Result<Self> {
        let counts = service.counts()?.since(before)?;
        Ok(Self {
            at: Instant::now(),
            count: fate(&counts, "stored") as f64,
            cpu_s: service.process().cpu_s(),
            user_s: service.process().user_s(),
        })
    }
}

/// Sends, and looks at the receiver twice meanwhile: soon after the start and shortly before the end, so that neither a
/// queue that fills nor a queue that empties distorts the rate.
fn observe(
    source: &mut (impl Source + Send),
    address: SocketAddr,
    load: Load,
    mut look: impl FnMut() -> anyhow::Result<Look>,
) -> anyhow::Result<(Sent, (Look, Look))> {
    while_sending_source(source, address, load.rate, load.segments, || {
        thread::sleep(Duration::from_secs_f64(load.seconds * 0.15));
        let first = look()?;
        thread::sleep(Duration::from_secs_f64(load.seconds * 0.85));
        Ok((first, look()?))
    })
    .map(|(window, sent)| (sent, window))
}

/// Does `work` while reports are sent; gives its result and the reports sent.
///
/// # Errors
/// When the work fails, or sending does.
pub fn while_sending<T>(
    fleet: &mut Fleet,
    address: SocketAddr,
    rate: Rate,
    segments: bool,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Sent)> {
    fleet.go_on(rate, None, None);
    while_sending_source(fleet, address, rate, segments, work)
}

fn while_sending_source<T>(
    source: &mut (impl Source + Send),
    address: SocketAddr,
    rate: Rate,
    segments: bool,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Sent)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(source, address, rate, segments, &stop));
        let done = work();
        stop.store(true, Ordering::Relaxed);
        let sent = joined(sender)?;
        Ok((done?, sent))
    })
}

/// Waits for a thread and returns its result.
///
/// # Errors
/// When the thread returned an error, or panicked.
pub fn joined<T>(thread: ScopedJoinHandle<'_, anyhow::Result<T>>) -> anyhow::Result<T> {
    thread.join().unwrap_or_else(|_| bail!("a thread of the bench panicked"))
}

/// Sends what is due until the fleet ends or `stop` is set.
fn send(
    source: &mut impl Source,
    address: SocketAddr,
    rate: Rate,
    segments: bool,
    stop: &AtomicBool,
) -> anyhow::Result<Sent> {
    let target = address.to_string().parse().context("read the target")?;
    let mut sender = Sender::connect(&target)?;
    if !segments {
        sender = sender.without_segments();
    }
    let mut batch = Batch::default();
    let mut tally = Tally::default();
    let start = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if segments && let Some(wait) = until_full(rate, start.elapsed(), tally.reports) {
            thread::sleep(wait);
            continue;
        }
        let next = batch.fill(source, start.elapsed(), SEND_MAX)?;
        sender.send(&batch)?;
        batch.count_into(&mut tally);
        match next {
            Next::End => break,
            Next::Wait(wait) if batch.is_empty() => thread::sleep(wait.min(NAP_MAX)),
            _ => {}
        }
    }
    Ok(Sent { tally, took: start.elapsed() })
}

/// Time until a full message is due, after so many reports were sent. `None` when it is due, or would take too long.
fn until_full(rate: Rate, elapsed: Duration, sent: u64) -> Option<Duration> {
    let Rate::PerSecond(rate) = rate else { return None };
    let missing = (sent + SEND_MAX as u64) as f64 - rate * elapsed.as_secs_f64();
    (rate >= FULL_FROM && missing >= 1.0).then(|| Duration::from_secs_f64(missing / rate))
}

/// Takes the places of the next `count` reports of the fleet, as (lat, lon).
///
/// # Errors
/// Never with a simulated fleet.
pub fn places(fleet: &mut Fleet, count: u64) -> anyhow::Result<Vec<(f64, f64)>> {
    fleet.go_on(Rate::Max, Some(count), None);
    let mut places = Vec::new();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let Next::Report { .. } = fleet.next(Duration::ZERO, &mut bytes)? else { return Ok(places) };
        let report = vagn_wire::decode(&bytes).ok().and_then(|report| report.position.ok());
        let place = report.context("a simulated vehicle has a position")?;
        places.push((place.lat(), place.lon()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_a_whole_message_only_at_high_rates() {
        let wait =
            |rate, micros, sent| until_full(Rate::PerSecond(rate), Duration::from_micros(micros), sent);
        assert_eq!(wait(1e6, 0, 0), Some(Duration::from_micros(64)));
        assert_eq!(wait(1e6, 100, 64), Some(Duration::from_micros(28)));
        assert_eq!(wait(1e6, 128, 64), None);
        assert_eq!(wait(5e3, 0, 0), None);
        assert_eq!(until_full(Rate::Max, Duration::ZERO, 0), None);
    }
}
