//! Settings: what can be set, what it is when nobody sets it, and where a setting in force came from.
//!
//! Flags override the environment (`VAGN_…`), which overrides the file, which overrides the defaults.

mod check;
mod emergency;
mod fsync;
mod layers;
mod settings;
mod span;

pub use check::Refused;
pub use emergency::{BadEmergency, DrillSettings, EmergencySettings, TargetSettings};
pub use fsync::Fsync;
pub use layers::{ConfigError, Flags, load};
pub use settings::{
    HistorySettings, HttpSettings, LogFormat, LogLevel, LogSettings, OpsSettings, PoolSettings, Reply,
    Settings, TcpSettings, UdpSettings,
};
pub use span::Span;
