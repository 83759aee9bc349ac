//! Reasons why settings cannot be used.

use std::path::PathBuf;

use super::refused::Refused;

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
    #[error("{} is not TOML: line {line}, column {column}: {why}", path.display())]
    Syntax {
        /// Path of the file.
        path: PathBuf,
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, in characters, from 1.
        column: usize,
        /// Reason.
        why: String,
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
