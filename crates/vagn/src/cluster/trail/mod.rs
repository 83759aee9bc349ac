//! This node's part in calls for help on many machines: the trail's driver on a thread of its own, and what the service shows of it.
//!
//! The driver uses the connections of the node, and is started anew when that is. A crash of one does not end the other: where there are no
//! connections, doors call by themselves.
//!
//! | file | holds |
//! |---|---|
//! | `lane.rs` | what the emergency lane is asked for |
//! | `link.rs` | the way to the driver, the same over its restarts |
//! | `thread.rs` | the thread that drives |
//! | `watch.rs` | looks at the driver, for metrics, readiness and status |
//! | `picture.rs` | what a look shows |
//! | `outlook.rs` | what it means for readiness |
//! | `news.rs` | what the driver tells, for log and metrics |
//! | `metrics.rs` | counts and gauges |

mod lane;
mod link;
mod metrics;
mod news;
mod outlook;
mod picture;
#[cfg(test)]
mod tests;
mod thread;
mod watch;

pub use lane::{AlarmSubject, DeskStatus, Lane};
pub use link::TrailLink;
pub use metrics::TrailMetrics;
pub use news::TrailNews;
pub use outlook::TrailOutlook;
pub use picture::TrailPicture;
pub use thread::{TrailParts, child};
pub use watch::{TrailWatch, WatchParts};
