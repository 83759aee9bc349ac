//! Reasons why settings cannot be used.

use std::path::PathBuf;

use super::check::Refused;

/// Reason why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config file {}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Reason.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not TOML", path.display())]
    Syntax {
        /// Path of the file.
        path: PathBuf,
        /// Place and reason.
        source: Box<toml::de::Error>,
    },
    /// An unknown key or a value of the wrong kind.
    #[error("setting `{key}` {from}: {why}")]
    Key {
        /// Name of the setting.
        key: String,
        /// Source of the value, as in "from vagn.toml".
        from: String,
        /// Reason.
        why: String,
    },
    /// Known keys with values that cannot work.
    #[error(transparent)]
    Refused(#[from] Refused),
}
