//! Settings: their names, their defaults and their checks.
//!
//! Flags override the environment (`VAGN_…`), the environment overrides the file, and the file overrides the defaults.

mod address;
mod caution;
mod check;
mod cluster;
mod emergency;
mod environment;
mod error;
mod fsync;
#[cfg(test)]
mod fuzz;
mod layers;
mod refused;
mod settings;
mod span;

pub use caution::{Caution, has_credentials, readable, secret_parts, without_credentials, without_secrets};
pub use cluster::{BadCluster, ClusterSettings, Roles};
pub use emergency::{BadEmergency, DrillSettings, EmergencySettings, TargetSettings};
pub use environment::Foreign;
pub use error::ConfigError;
pub use fsync::Fsync;
pub use layers::{Flags, Loaded, load};
pub use refused::Refused;
pub use settings::{
    AuthSettings, ClockSettings, HistorySettings, HttpSettings, LogFormat, LogLevel, LogSettings,
    MapSettings, OpsSettings, PoolSettings, RegistrySettings, Reply, Settings, TcpSettings, UdpSettings,
};
pub use span::Span;
