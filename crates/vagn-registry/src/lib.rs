//! The registry: what people say, in one transactional file. One key is one object with a revision.
//!
//! | file | holds |
//! |---|---|
//! | `registry.rs` | objects, revisions and the watch, whatever they mean |
//! | `file/` | the file: tables, opening, transactions |
//! | `changes.rs` | the latest changes in memory, for those who watch |
//! | `views.rs` | how far those who watch have come |
//! | `wrapping.rs` | secrets, wrapped by a key from a file |
//! | `figures.rs` | figures for metrics |
//! | `entry.rs` | typed objects: their kind, key and JSON |
//! | `devices/` | keys of vehicles and gateways |
//! | `tokens.rs`, `sessions.rs` | tokens, roles, and the sessions of browsers |
//! | `shares.rs` | links to one vehicle |
//!
//! A cluster can keep the same objects elsewhere: nothing here but `registry.rs` knows of a file.

mod changes;
mod devices;
mod entry;
mod error;
mod figures;
mod file;
mod object;
mod registry;
mod secret;
mod sessions;
mod shares;
#[cfg(test)]
mod tests;
mod tokens;
mod views;
mod wrapping;

pub use changes::Watch;
pub use devices::{Device, DeviceOf, ImportRow, Imported, Rotated};
pub use error::{PutError, RegistryError};
pub use figures::Figures;
pub use object::{Change, Kind, Object, VALUE_MAX};
pub use registry::{Put, Registry};
pub use secret::{Digest, NewSecret};
pub use sessions::Session;
pub use shares::Share;
pub use tokens::{NewToken, Role, Token};
