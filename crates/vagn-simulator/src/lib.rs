//! A whole cluster in one process, on virtual time: machines with the core of a node, brokers that have bad days, a network, and
//! senders that keep a ledger. Each run is the function of one number.
//!
//! | file | holds |
//! |---|---|
//! | `chance.rs`, `agenda.rs`, `bytes.rs` | the one source of chance, virtual time, and words in bytes |
//! | `stream.rs`, `brokers.rs` | the model of the brokers |
//! | `network.rs`, `disk.rs`, `machine.rs` | network, disks, machines |
//! | `fleet.rs` | the content of a shard, which forgets nothing that an oracle may ask for |
//! | `ledger.rs`, `people.rs` | senders and their ledger, those who ask, and the person who looks after all |
//! | `plan.rs`, `blow.rs`, `strike.rs` | what a seed decides, and what strikes |
//! | `world.rs`, `carry.rs`, `requests.rs` | the loop, and the driver of the nodes |
//! | `oracle.rs`, `answers.rs`, `reached.rs`, `trace.rs`, `outcome.rs` | what must not be, what must have been, and what was |
//! | `calls/` | runs of another sort: calls for help, with the trail, desks, doors and a target |

mod agenda;
mod answers;
mod blow;
mod brokers;
mod bytes;
mod calls;
mod carry;
mod chance;
mod disk;
mod fleet;
mod ledger;
mod machine;
mod network;
mod oracle;
mod outcome;
mod people;
mod plan;
mod reached;
mod repairs;
mod requests;
mod stream;
mod strike;
mod trace;
mod world;

pub use calls::{
    DeskFault, KINDS_OF_CALLS, REQUIRED_OF_CALLS, REQUIRED_OF_OFFICE, simulate_calls, simulate_office,
};
pub use outcome::{Outcome, simulate};
pub use reached::{REQUIRED, Reached};
