//! The trail's driver: binds a node's part in calls for help ([`TrailNode`](vagn_cluster::trail::TrailNode)) to the same brokers.
//!
//! It is a future beside the [driver of shards](crate::Driver), on the same two connections. It has a queue, timers and subscriptions of its own: a
//! call for help waits for no report. What is not for brokers, the incident store and the calls themselves, is an [`Office`]'s.
//!
//! | file | holds |
//! |---|---|
//! | `office.rs` | what the service carries out |
//! | `driver.rs` | the future |
//! | `handle.rs` | the service's way to it |

mod driver;
mod handle;
mod office;

pub use driver::{TrailDriver, TrailTold};
pub use handle::TrailHandle;
pub use office::{Office, OfficeCommand};
