//! The registry: what people say, in one transactional file. One key is one object with a revision.
//!
//! | file | holds |
//! |---|---|
//! | `registry.rs` | objects, revisions and the watch, whatever they mean |
//! | `file/` | the file: tables, opening, transactions |
//! | `changes.rs` | the latest changes in memory, for watchers |
//! | `views.rs` | how far watchers have come |
//! | `wrapping.rs` | secrets, wrapped by a key from a file |
//! | `figures.rs` | figures for metrics |
//! | `entry.rs` | typed objects: their kind, key and JSON |
//! | `devices/` | keys of vehicles and gateways |
//! | `tokens.rs`, `sessions.rs` | tokens, roles, and the sessions of browsers |
//! | `shares.rs` | links to one vehicle |
//! | `shared.rs` | the copy of a bucket that all nodes of a cluster write and follow; `shared/write.rs` writes to the bucket |
//! | `facts.rs` | the identity of a cluster's registry, and its nodes with their numbers |

mod changes;
mod devices;
mod entry;
mod error;
mod facts;
mod figures;
mod file;
mod object;
mod registry;
mod secret;
mod sessions;
mod shared;
mod shares;
#[cfg(test)]
mod tests;
mod tokens;
mod views;
mod wrapping;

pub use changes::Watch;
pub use devices::{Device, DeviceOf, ImportRow, Imported, Rotated};
pub use error::{PutError, RegistryError};
pub use facts::{About, NodeEntry};
pub use figures::Figures;
pub use object::{Change, Kind, Object, VALUE_MAX};
pub use registry::{Put, Registry};
pub use secret::{Digest, NewSecret};
pub use sessions::Session;
pub use shared::{Appended, Arrived, Bucket, Copied, CopyAnew};
pub use shares::Share;
pub use tokens::{NewToken, Role, Token};
