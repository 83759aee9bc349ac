//! Binds a [node](vagn_cluster::Node) of a cluster to NATS JetStream: carries out what it asks for, and tells it what happened.
//!
//! [`Brokers`] holds two connections to different brokers. A [`Driver`] owns the node and drives it: one future, which a supervisor
//! polls. The rest of the service holds a [`Handle`]. What a node keeps on disk is carried out by a [`Disk`](vagn_cluster::Disk), which is not made here.
//!
//! All is polled by the driver's one future, so nothing waits in a queue between it and the node: while the node works, messages wait
//! in their connection, bounded by what was pulled. Each request to brokers is given up after [`ANSWER_MAX`], and answered once.
//!
//! | file | holds |
//! |---|---|
//! | `options.rs`, `names.rs` | addresses; names of streams and subjects |
//! | `link.rs` | a connection: requests and their answers, whether it is heard |
//! | `brokers.rs` | two of them: which one is used, and that they go to different brokers |
//! | `api.rs` | JetStream's requests and answers in JSON, and its errors |
//! | `stream.rs`, `room.rs` | streams: made, read, purged; their room |
//! | `publish.rs`, `record.rs` | messages into streams; records by compare-and-set |
//! | `registry.rs` | the bucket of what people say: written after what the writer has seen, and followed |
//! | `consumer.rs`, `pulled.rs` | messages out of a stream, in order or not at all |
//! | `peers.rs` | messages between nodes, in parts |
//! | `errands.rs` | what a part of a node has under way at brokers |
//! | `driver.rs`, `handle.rs` | the node's driver, and the service's way to it |
//! | `inbox.rs`, `trail/` | calls for help: messages for desk and door, and the driver of the trail |
//! | `survey.rs` | what brokers say of themselves and of streams, for an operator |
//! | `copies.rs` | which brokers do not keep up, as leaders of streams tell |
//! | `counts.rs` | what was dropped or given up, by reason |

mod account;
mod api;
mod brokers;
mod consumer;
mod copies;
mod counts;
mod driver;
mod errands;
mod handle;
mod inbox;
mod link;
mod names;
mod options;
mod peers;
mod publish;
mod pulled;
mod record;
mod refusals;
mod registry;
mod room;
mod stream;
mod survey;
mod trail;

pub use brokers::{Brokers, Incoming};
pub use copies::{Copies, Follower, Missed};
pub use counts::{Counts, Loss};
pub use driver::{Clock, Driver, Told};
pub use handle::{Answered, Handle, Held, Unavailable};
pub use link::ANSWER_MAX;
pub use options::{Options, OptionsError};
pub use publish::NewMessage;
pub use registry::{Appended, BATCH_MAX, BucketEvent, NewObject};
pub use room::trail_bytes;
pub use survey::{StreamSeen, Streams, Visit, VisitError, room_of_streams};
pub use trail::{Office, OfficeCommand, TrailDriver, TrailHandle, TrailTold};
