//! Calls for help on many machines: runs of the trail's part of nodes, each the function of one number.
//!
//! | file | holds |
//! |---|---|
//! | `store.rs`, `desk.rs` | incidents, the store of a machine, and its desk |
//! | `target.rs` | the target, which remembers what each key meant |
//! | `plan.rs`, `strike.rs` | what a seed decides, and what strikes |
//! | `machine.rs`, `world.rs`, `carrying.rs`, `brokering.rs` | machines, the loop, and the driver |
//! | `saving.rs`, `copies.rs` | what comes into stores; copies of them, and repairs |
//! | `acting.rs` | messages to the target, vehicles, persons |
//! | `oracle.rs`, `words.rs` | what must not be, what must have been, and what was |

mod acting;
mod brokering;
mod carrying;
mod copies;
mod desk;
mod machine;
mod oracle;
mod plan;
mod saving;
mod store;
mod strike;
mod target;
mod words;
mod world;

use vagn_cluster::trail::TrailFaults;

use crate::agenda::SECOND;
use crate::outcome::Outcome;
use plan::Plan;
pub use words::REQUIRED_OF_CALLS;
use world::World;

/// Kinds of runs: a seed's remainder by their number is its kind.
pub const KINDS_OF_CALLS: u64 = plan::Kind::ALL.len() as u64;

/// Runs a seed, and keeps the last `lines` things that happened in words. `faults` are planted in all nodes.
pub fn simulate_calls(seed: u64, faults: TrailFaults, lines: usize) -> Outcome {
    let plan = Plan::of(seed, faults);
    let (kind, text) = (format!("{:?}", plan.kind), plan.to_string());
    let mut world = World::new(plan, lines);
    world.run();
    Outcome {
        seed,
        kind,
        wrong: world.oracle.wrong().map(str::to_owned),
        trace: world.trace.hash(),
        events: world.events,
        seconds: world.now() / SECOND,
        whole_after_ms: None,
        reached: world.reached,
        plan: text,
        lines: world.trace.into_lines(),
    }
}
