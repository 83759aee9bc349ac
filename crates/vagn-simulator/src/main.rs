//! Runs many seeds of the simulator, and fails with all that a failing one expanded to, or when 100 seeds and more missed a state.
//!
//! `SEEDS=n` how many (100), `FROM=n` the first one (0), `SEED=n` this one alone, `LINES=n` last things told of a failing one (400),
//! `ALL=1` goes on behind a failing seed and names each, `PLANT=name` plants a fault of the core by its name.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use vagn_cluster::Faults;
use vagn_simulator::{Outcome, Reached, simulate};

/// Seeds that must reach all states: fewer need not.
const ALL_STATES: u64 = 100;

fn main() -> io::Result<ExitCode> {
    let lines = number("LINES").unwrap_or(400) as usize;
    let Some(faults) = planted(&env::var("PLANT").unwrap_or_default()) else {
        writeln!(io::stderr(), "simulate: PLANT names no fault of vagn_cluster::Faults")?;
        return Ok(code(false));
    };
    if let Some(seed) = number("SEED") {
        let outcome = simulate(seed, faults, lines);
        write!(io::stdout().lock(), "{outcome}")?;
        return Ok(code(outcome.wrong.is_none()));
    }
    let (from, count) = (number("FROM").unwrap_or(0), number("SEEDS").unwrap_or(100));
    let mut reached = Reached::default();
    let mut total = Total::default();
    let begun = Instant::now();
    for seed in from..from + count {
        let outcome = simulate(seed, faults, 0);
        if let Some(wrong) = &outcome.wrong {
            if number("ALL").is_none() {
                return failed(&outcome, faults, lines);
            }
            writeln!(io::stdout(), "seed {seed} ({}): {wrong}", outcome.kind)?;
            total.wrong += 1;
        }
        reached.add(&outcome.reached);
        total.add(&outcome);
        let per_seed = begun.elapsed().as_secs_f64() / total.seeds as f64;
        write!(
            io::stderr(),
            "\rsimulate: seed {seed}, {} of {count}, {per_seed:.3} s per seed ",
            total.seeds
        )?;
    }
    writeln!(io::stderr())?;
    told(&reached, &total)
}

/// What all runs come to.
#[derive(Default)]
struct Total {
    seeds: u64,
    wrong: u64,
    events: u64,
    seconds: u64,
    whole_after_ms: u64,
}

impl Total {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.events += outcome.events;
        self.seconds += outcome.seconds;
        self.whole_after_ms = self.whole_after_ms.max(outcome.whole_after_ms.unwrap_or(0));
    }
}

/// Runs a failing seed again, with its last events in words, and says if it ran as before.
fn failed(outcome: &Outcome, faults: Faults, lines: usize) -> io::Result<ExitCode> {
    let again = simulate(outcome.seed, faults, lines);
    let mut out = io::stdout().lock();
    writeln!(out)?;
    write!(out, "{again}")?;
    let alike =
        if again.trace == outcome.trace { "ran again identically" } else { "RAN OTHERWISE when run again" };
    writeln!(out, "seed {} {alike}; SEED={} runs it alone", outcome.seed, outcome.seed)?;
    Ok(code(false))
}

fn told(reached: &Reached, total: &Total) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    for (state, count) in reached.all() {
        writeln!(out, "{count:>10}  {state}")?;
    }
    let Total { seeds, wrong, events, seconds, whole_after_ms } = total;
    writeln!(
        out,
        "{seeds} seeds, {events} events, {seconds} s of virtual time; whole again after {whole_after_ms} ms at the latest"
    )?;
    let missed = reached.missed();
    if !missed.is_empty() {
        writeln!(out, "never reached: {}", missed.join(", "))?;
    }
    let reached_enough = missed.is_empty() || *seeds < ALL_STATES;
    Ok(code(reached_enough && *wrong == 0))
}

fn planted(name: &str) -> Option<Faults> {
    let mut faults = Faults::default();
    let fault = match name {
        "" => return Some(faults),
        "ack_before_sync" => &mut faults.ack_before_sync,
        "bootstrap_skips_one" => &mut faults.bootstrap_skips_one,
        "forget_by_own_clock" => &mut faults.forget_by_own_clock,
        "purge_before_sync" => &mut faults.purge_before_sync,
        "all_owners_leave" => &mut faults.all_owners_leave,
        "stream_anew_unnoticed" => &mut faults.stream_anew_unnoticed,
        "lacks_nothing" => &mut faults.lacks_nothing,
        "unread_is_end" => &mut faults.unread_is_end,
        "rest_is_nothing" => &mut faults.rest_is_nothing,
        _ => return None,
    };
    *fault = true;
    Some(faults)
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn code(right: bool) -> ExitCode {
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
