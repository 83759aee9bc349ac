//! Calls for help on many machines: runs of the trail's part of nodes, each the function of one number.
//!
//! | file | holds |
//! |---|---|
//! | `side.rs` | what is behind the trail on each machine: the model, or the service's own |
//! | `model/`, `office/` | these two |
//! | `target.rs`, `vehicles.rs` | the target, which remembers what each key meant; vehicles that call |
//! | `plan.rs`, `strike.rs` | what a seed decides, and what strikes |
//! | `machine.rs`, `world.rs`, `carrying.rs`, `brokering.rs` | machines, the loop, and the driver |
//! | `settings.rs` | settings that are changed on one machine after the other, and who may lead with which |
//! | `repairs.rs` | disks that are lost, and a broken trail that is begun anew |
//! | `oracle.rs`, `words.rs` | what must not be, what must have been, and what was |

mod brokering;
mod carrying;
mod machine;
mod model;
mod office;
mod oracle;
mod plan;
mod repairs;
mod settings;
mod side;
mod strike;
mod target;
mod vehicles;
mod words;
mod world;

use vagn_cluster::trail::TrailFaults;

use crate::agenda::SECOND;
use crate::outcome::Outcome;
use model::Model;
pub use office::DeskFault;
use office::Office;
use plan::Plan;
use side::Side;
use world::World;

/// States that many seeds of the model must reach.
pub const REQUIRED_OF_CALLS: &[&str] = Model::REQUIRED;

/// Room of the trail's stream for groups of the service's own desk, as a multiple of that for groups of the model; and what is room enough.
const LONGER: u64 = 16;
const ROOM_MAX: u64 = 8 << 20;

/// Kinds of runs: a seed's remainder by their number is its kind.
pub const KINDS_OF_CALLS: u64 = plan::Kind::ALL.len() as u64;

/// States that many seeds of the service's own desk must reach.
pub const REQUIRED_OF_OFFICE: &[&str] = Office::REQUIRED;

/// Runs a seed with the model of desk and door, and keeps the last `lines` things that happened in words. `faults` are planted in all nodes.
pub fn simulate_calls(seed: u64, faults: TrailFaults, lines: usize) -> Outcome {
    run::<Model>(Plan::of(seed, faults), lines)
}

/// Does the same with the service's own desk, office, door and files.
pub fn simulate_office(seed: u64, faults: TrailFaults, desk: Option<DeskFault>, lines: usize) -> Outcome {
    let plan = Plan { desk_fault: desk, ..Plan::of(seed, faults) };
    // Its groups are so much longer than those of the model.
    let stream_bytes = (plan.stream_bytes * LONGER).min(ROOM_MAX);
    run::<Office>(Plan { stream_bytes, ..plan }, lines)
}

fn run<S: Side>(plan: Plan, lines: usize) -> Outcome {
    let (seed, kind, text) = (plan.seed, format!("{:?}", plan.kind), plan.to_string());
    let mut world = World::<S>::new(plan, lines);
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
