//! More than the service can take, with alarms among it.

mod alarms;
mod limit;
mod measure;
mod notices;
mod results;

use std::time::Duration;

use vagn_load::Fleet;

use crate::bench::Bench;
use crate::load;
use crate::section::Section;
use crate::service::Service;
use crate::stats::short;
use alarms::Alarms;
use limit::{Limit, maximum};
use measure::Case;

/// Number of times that each alarm is sent.
const COPIES: usize = 3;

/// Vehicles that send positions meanwhile.
const FLEET: u32 = 100_000;

/// Longest wait for all notices after the last alarm was sent.
const WITHIN: Duration = Duration::from_secs(20);

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    let alarms = Alarms { vehicles: bench.pick(1000, 200), spacing_s: bench.pick(3.0, 1.0) };
    let most = maximum(bench, Limit::Service)?;
    let most_store = maximum(bench, Limit::Store)?;
    section.say(format!(
        "The service is made slow in two ways, by a control group (`cpu` controller). *The service*: all threads together get 1 ms in \
         each 10 ms and stand still for the rest, which adds 10 ms wherever a thread waits for another that has not had its turn; so it \
         stores {}/s at most. *The store*: only the threads that decode and store get 1 ms in each 20 ms, as if the store were slow, \
         and the doors and notices are as usual; so it stores {}/s at most. *Times* is the rate offered, in multiples of these maxima.",
        short(most), short(most_store)
    ));
    section.say(format!(
        "Meanwhile {} vehicles that the service knows raise an alarm over UDP, each {COPIES} times, {} s apart; the target is \
         `vagn sink`. *Flag last* is the original's layout: the kernel sees its last byte and steers it to a separate socket. *Flag \
         first* is the same without that, so that alarms wait among positions. A first copy is lost when the alarm was only \
         recognised from a later copy. Receive → first attempt is the age that the notice states, in whole milliseconds; beside it \
         is its bucket of `vagn_emergency_first_attempt_seconds`.",
        alarms.vehicles, alarms.spacing_s
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
        let most = if case.limit == Limit::Store { most_store } else { most };
        let result = measure::measure(bench, case, most, alarms)?;
        section.row(result.row(alarms.vehicles));
        results.push(result);
    }
    results::aims(section, &results, alarms.vehicles);
    section.plots = vec![results::plot(&results)];
    section.command("# the alarms by hand:");
    section.command("vagn sink --json & vagn serve --emergency-url http://127.0.0.1:9099/calls &");
    section.command("vagn simulate --vehicles 100000 --rate max & vagn simulate --vehicles 1000 --emergency-ratio 1 --rate 250 --count 3000");
    Ok(())
}

fn cases(bench: &Bench) -> Vec<Case> {
    let all = [
        (Limit::None, 0.0, true),
        (Limit::None, 0.0, false),
        (Limit::Service, 0.0, true),
        (Limit::Service, 2.0, true),
        (Limit::Service, 5.0, true),
        (Limit::Service, 20.0, true),
        (Limit::Service, 20.0, false),
        (Limit::Store, 2.0, true),
        (Limit::Store, 5.0, true),
        (Limit::Store, 20.0, true),
        (Limit::Store, 20.0, false),
    ]
    .map(|(limit, times, steered)| Case { limit, times, steered });
    if bench.quick { [0, 2, 5, 9, 10].map(|at| all[at]).into() } else { all.into() }
}

/// Starts a service that knows the fleet; with a URL, it sends its notices there.
fn start(bench: &Bench, emergency_url: Option<&str>) -> anyhow::Result<(Service, Fleet)> {
    let mut plan = bench.fresh();
    if let Some(url) = emergency_url {
        plan = plan.with("EMERGENCY_URL", url);
    }
    load::warmed(plan, FLEET)
}
