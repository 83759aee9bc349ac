//! This node's part in a fleet on many machines: the node of [`vagn_cluster`] with its driver, what goes to it, and what the service
//! shows of it.
//!
//! | file | holds |
//! |---|---|
//! | `link.rs` | the way to the node, the same over its restarts |
//! | `node.rs` | the thread that drives the node |
//! | `courier.rs` | takes reports to the node, and brings their fates back |
//! | `shelf.rs` | looks at the node, and puts its replicas where the service reads them |
//! | `onlookers.rs` | whether somebody looks at the whole fleet |
//! | `owners.rs` | asks the owners of vehicles whom they know |
//! | `picture.rs` | what a look shows, for `vagn cluster status` too |
//! | `outlook.rs` | what it means for readiness |
//! | `news.rs` | what the node tells, for log and metrics |
//! | `metrics.rs` | counts and gauges |
//! | `files.rs` | counts and gauges of the node's files |
//! | `tls.rs` | certificates for the brokers |
//! | `trail/` | calls for help |
//! | `registry/` | what people say about the service, the same at every node |

mod courier;
mod files;
mod link;
#[cfg(test)]
mod log;
mod metrics;
mod news;
mod node;
mod onlookers;
mod outlook;
mod owners;
mod picture;
pub mod registry;
mod shelf;
mod tls;
pub mod trail;

pub use courier::{Courier, Submission};
pub use files::FileMetrics;
pub use link::NodeLink;
pub use metrics::ClusterMetrics;
pub use news::News;
pub use node::{NodeFiles, NodeParts, children};
pub use onlookers::Onlookers;
pub use outlook::{OBSTACLE, Outlook};
pub use owners::NodeOwners;
pub use picture::Picture;
pub use shelf::{Shelf, ShelfParts};
pub use tls::{BadTls, tls};
