//! Runs many seeds of the simulator, and fails with all that a failing one expanded to, or when 100 seeds and more missed a state.
//!
//! `SEEDS=n` how many (100), `FROM=n` the first one (0), `SEED=n` this one alone, `LINES=n` last things told of a failing one (400),
//! `ALL=1` goes on behind a failing seed and names each, `PLANT=name` plants a fault of the core by its name. `CALLS=1` runs calls for help in
//! place of positions, and `CALLS=office` the same with the service's own desk, office, door and files in place of a model of them.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use vagn_cluster::Faults;
use vagn_cluster::trail::TrailFaults;
use vagn_simulator::{
    DeskFault, Outcome, REQUIRED, REQUIRED_OF_CALLS, REQUIRED_OF_OFFICE, Reached, simulate, simulate_calls,
    simulate_office,
};

/// Seeds that must reach all states: fewer need not.
const ALL_STATES: u64 = 100;

fn main() -> io::Result<ExitCode> {
    let lines = number("LINES").unwrap_or(400) as usize;
    let plant = env::var("PLANT").unwrap_or_default();
    let runs = match env::var("CALLS").unwrap_or_default().as_str() {
        "" => planted(&plant),
        "office" => planted_in_office(&plant),
        _ => planted_in_calls(&plant),
    };
    let Some(runs) = runs else {
        writeln!(
            io::stderr(),
            "simulate: PLANT names no fault of vagn_cluster::Faults, TrailFaults or DeskFault"
        )?;
        return Ok(code(false));
    };
    if let Some(seed) = number("SEED") {
        let outcome = runs.simulate(seed, lines);
        write!(io::stdout().lock(), "{outcome}")?;
        return Ok(code(outcome.wrong.is_none()));
    }
    let (from, count) = (number("FROM").unwrap_or(0), number("SEEDS").unwrap_or(100));
    let mut reached = Reached::default();
    let mut total = Total::default();
    let begun = Instant::now();
    for seed in from..from + count {
        let outcome = runs.simulate(seed, 0);
        if let Some(wrong) = &outcome.wrong {
            if number("ALL").is_none() {
                return failed(&outcome, runs, lines);
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
    told(&reached, &total, runs.required())
}

/// Sort of runs, with the faults that are planted.
#[derive(Clone, Copy)]
enum Runs {
    Positions(Faults),
    Calls(TrailFaults),
    Office(TrailFaults, Option<DeskFault>),
}

impl Runs {
    fn simulate(self, seed: u64, lines: usize) -> Outcome {
        match self {
            Self::Positions(faults) => simulate(seed, faults, lines),
            Self::Calls(faults) => simulate_calls(seed, faults, lines),
            Self::Office(faults, desk) => simulate_office(seed, faults, desk, lines),
        }
    }

    fn required(self) -> &'static [&'static str] {
        match self {
            Self::Positions(_) => REQUIRED,
            Self::Calls(_) => REQUIRED_OF_CALLS,
            Self::Office(..) => REQUIRED_OF_OFFICE,
        }
    }
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
fn failed(outcome: &Outcome, runs: Runs, lines: usize) -> io::Result<ExitCode> {
    let again = runs.simulate(outcome.seed, lines);
    let mut out = io::stdout().lock();
    writeln!(out)?;
    write!(out, "{again}")?;
    let alike =
        if again.trace == outcome.trace { "ran again identically" } else { "RAN OTHERWISE when run again" };
    writeln!(out, "seed {} {alike}; SEED={} runs it alone", outcome.seed, outcome.seed)?;
    Ok(code(false))
}

fn told(reached: &Reached, total: &Total, required: &[&'static str]) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    for (state, count) in reached.all(required) {
        writeln!(out, "{count:>10}  {state}")?;
    }
    let Total { seeds, wrong, events, seconds, whole_after_ms } = total;
    writeln!(out, "{seeds} seeds, {events} events, {seconds} s of virtual time")?;
    if *whole_after_ms > 0 {
        writeln!(out, "whole again after {whole_after_ms} ms at the latest")?;
    }
    let missed = reached.missed(required);
    if !missed.is_empty() {
        writeln!(out, "never reached: {}", missed.join(", "))?;
    }
    let reached_enough = missed.is_empty() || *seeds < ALL_STATES;
    Ok(code(reached_enough && *wrong == 0))
}

fn planted(name: &str) -> Option<Runs> {
    let mut faults = Faults::default();
    let fault = match name {
        "" => return Some(Runs::Positions(faults)),
        "ack_before_sync" => &mut faults.ack_before_sync,
        "bootstrap_skips_one" => &mut faults.bootstrap_skips_one,
        "forget_by_own_clock" => &mut faults.forget_by_own_clock,
        "purge_before_sync" => &mut faults.purge_before_sync,
        "all_owners_leave" => &mut faults.all_owners_leave,
        "stream_anew_unnoticed" => &mut faults.stream_anew_unnoticed,
        "lacks_nothing" => &mut faults.lacks_nothing,
        "unread_is_end" => &mut faults.unread_is_end,
        "rest_is_nothing" => &mut faults.rest_is_nothing,
        "repairs_refused" => &mut faults.repairs_refused,
        "repairs_untold" => &mut faults.repairs_untold,
        "repairs_told_early" => &mut faults.repairs_told_early,
        "sound_repaired" => &mut faults.sound_repaired,
        _ => return None,
    };
    *fault = true;
    Some(Runs::Positions(faults))
}

fn planted_in_calls(name: &str) -> Option<Runs> {
    let mut faults = TrailFaults::default();
    let fault = match name {
        "" => return Some(Runs::Calls(faults)),
        "no_fence" => &mut faults.no_fence,
        "act_before_append" => &mut faults.act_before_append,
        "one_key" => &mut faults.one_key,
        "forgotten_at_handover" => &mut faults.forgotten_at_handover,
        "purge_before_saved" => &mut faults.purge_before_saved,
        "any_settings" => &mut faults.any_settings,
        "copy_whole_too_early" => &mut faults.copy_whole_too_early,
        _ => return None,
    };
    *fault = true;
    Some(Runs::Calls(faults))
}

fn planted_in_office(name: &str) -> Option<Runs> {
    let desk = match name {
        "said_recorded" => DeskFault::SaidRecorded,
        "over_is_recorded" => DeskFault::OverIsRecorded,
        "nothing_recalled" => DeskFault::NothingRecalled,
        _ => {
            let Some(Runs::Calls(faults)) = planted_in_calls(name) else { return None };
            return Some(Runs::Office(faults, None));
        }
    };
    Some(Runs::Office(TrailFaults::default(), Some(desk)))
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn code(right: bool) -> ExitCode {
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
