//! The registry: what people say, in one transactional file. One key is one object with a revision.
//!
//! | file | holds |
//! |---|---|
//! | `registry.rs` | objects, revisions and the watch, whatever they mean |
//! | `devices.rs` | keys of vehicles and gateways |
//! | `tokens.rs` | tokens, roles, and the sessions of browsers |
//! | `shares.rs` | links to one vehicle |
//! | `wrapping.rs` | secrets, wrapped by a key from a file |
//!
//! A cluster can keep the same objects elsewhere: nothing here but `registry.rs` knows of a file.

mod devices;
mod registry;
mod shares;
mod tokens;

pub use devices::{Device, DeviceOf};
pub use registry::{Change, Kind, Object, PutError, Registry, RegistryError, Watch};
pub use shares::Share;
pub use tokens::{Digest, Role, Session, Token};
