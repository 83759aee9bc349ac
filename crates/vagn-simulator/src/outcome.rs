//! Outcome of a run, and how to get it.

use std::fmt;

use vagn_cluster::Faults;

use crate::agenda::SECOND;
use crate::plan::Plan;
use crate::reached::Reached;
use crate::world::World;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Seed of the run.
    pub seed: u64,
    /// Kind of the run.
    pub kind: String,
    /// First thing that must not be.
    pub wrong: Option<String>,
    /// Hash of all that happened: equal for equal runs.
    pub trace: u64,
    /// States that the run reached.
    pub reached: Reached,
    /// Events that nodes took in.
    pub events: u64,
    /// Virtual time that passed, s.
    pub seconds: u64,
    /// Virtual time from the end of the blows until all was whole, ms.
    pub whole_after_ms: Option<u64>,
    /// All that the seed expanded to.
    pub plan: String,
    /// Last things that happened, in words.
    pub lines: Vec<String>,
}

/// Runs a seed, and keeps the last `lines` things that happened in words: none costs nothing. `faults` are planted in all nodes.
pub fn simulate(seed: u64, faults: Faults, lines: usize) -> Outcome {
    let plan = Plan::of(seed, faults);
    let (kind, text, calm_at) = (format!("{:?}", plan.kind), plan.to_string(), plan.calm_at);
    let mut world = World::new(plan, lines);
    world.run();
    let whole_after_ms = world.oracle.whole_at().map(|at| (at - calm_at) / 1_000);
    Outcome {
        seed,
        kind,
        wrong: world.oracle.wrong().map(str::to_owned),
        trace: world.trace.hash(),
        events: world.events,
        seconds: world.now() / SECOND,
        whole_after_ms,
        reached: world.reached,
        plan: text,
        lines: world.trace.into_lines(),
    }
}

impl fmt::Display for Outcome {
    /// Writes all that a person needs to find out what was wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        write!(f, "{}", self.plan)?;
        let wrong = self.wrong.as_deref().unwrap_or("nothing wrong");
        let Self { seed, kind, seconds, events, trace, .. } = self;
        writeln!(
            f,
            "seed {seed} ({kind}), after {seconds} s and {events} events, trace {trace:016x}: {wrong}"
        )
    }
}
