//! The control socket: commands on the same machine speak through it to the running service.
//!
//! It is the Unix socket `control` in the data directory, for the service's user alone. A connection brings one request, a line
//! of JSON, and gets lines of JSON: any number of `item` and `progress`, then one `ok` or `error`. Nothing else makes or shows a
//! secret.
//!
//! | file | holds |
//! |---|---|
//! | `request.rs` | the requests and the lines of their answers |
//! | `deeds.rs` | what each request does; also for a command while no service runs |
//! | `show.rs` | devices, tokens and shares as answers show them |
//! | `folder.rs` | the socket in its directory, however long the path is |
//! | `metrics.rs` | metrics of the registry and of the socket |
//! | `server.rs` | the service's side |
//! | `client.rs` | the command's side |
//! | `registry_file.rs` | opening the registry of a data directory |

mod client;
mod deeds;
mod folder;
#[cfg(test)]
mod fuzz;
mod metrics;
mod registry_file;
mod request;
mod server;
mod show;
#[cfg(test)]
mod tests;

pub use client::{ClientError, Connection, connect};
pub use deeds::{ClusterShown, Copier, Deeds, Tell};
pub use folder::{ControlSocket, SOCKET};
pub use metrics::RegistryCollector;
pub use registry_file::{RegistryFault, open_copy, open_registry, read_copy, read_key, read_registry};
pub use request::{ControlError, ControlLine, ControlRequest, ImportedKey, Problem, ROWS_MAX};
pub use server::{ControlParts, ControlServer, child};
