//! The requests and the lines of their answers.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vagn_registry::{PutError, RegistryError, Role};

/// Longest line, in bytes, in either direction.
pub(super) const LINE_MAX: usize = 16 << 20;

/// Keys that one request imports at most: one transaction, during which nothing else is written. So many fit into a line with the
/// longest ids.
pub const ROWS_MAX: usize = 50_000;

/// A request of a command. One line of JSON, such as `{"device_add":{"name":"TAXI1"}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlRequest {
    /// Makes a key for a vehicle, or for a gateway.
    DeviceAdd {
        /// Id of the vehicle, or name of the gateway.
        name: Box<str>,
        /// It is a gateway.
        #[serde(default)]
        is_gateway: bool,
        /// Beginning of the ids that the gateway may speak for; empty for all.
        #[serde(default)]
        prefix: Box<str>,
    },
    /// Lists keys, the revoked ones too.
    DeviceList {},
    /// Revokes the key in force of a vehicle or gateway.
    DeviceRevoke {
        /// Id of the vehicle, or name of the gateway.
        name: Box<str>,
    },
    /// Makes a new secret under the next epoch.
    DeviceRotate {
        /// Id of the vehicle, or name of the gateway.
        name: Box<str>,
    },
    /// Imports a block of keys, at most [`ROWS_MAX`], all or none.
    DeviceImport {
        /// The keys.
        rows: Vec<ImportedKey>,
    },
    /// Makes a token.
    TokenAdd {
        /// Name, under which deeds are recorded.
        name: Box<str>,
        /// Role.
        role: Role,
        /// A person holds it.
        #[serde(default)]
        is_person: bool,
        /// It is that of a trusted console.
        #[serde(default)]
        is_on_behalf: bool,
        /// Time until it ends, in ms; without it, it does not end by itself.
        #[serde(default)]
        expires_in_ms: Option<u64>,
    },
    /// Lists tokens, those that have ended too.
    TokenList {},
    /// Revokes a token.
    TokenRevoke {
        /// Its name.
        name: Box<str>,
    },
    /// Makes a link to one vehicle.
    ShareAdd {
        /// The vehicle.
        vehicle_id: Box<str>,
        /// Time until it ends, in ms.
        expires_in_ms: u64,
    },
    /// Lists links.
    ShareList {},
    /// Revokes a link.
    ShareRevoke {
        /// Its number in the list.
        number: u64,
    },
    /// Shows the cluster that the service is a node of.
    ClusterStatus {},
    /// Begins a new epoch of a shard whose stream is broken.
    ClusterRepair {
        /// Its number.
        shard: u16,
    },
    /// Gives away all shards of the node; it goes on serving.
    ClusterDrain {},
    /// Begins a new epoch of the trail of calls for help, or has this node copy another one's incidents.
    ClusterRepairTrail {},
    /// Lets the node lead calls for help with settings that differ from those of the last leader.
    ClusterLead {},
    /// Copies the data directory; the command checks the copy.
    Backup {
        /// Absolute path of the directory that is to be made.
        dir: PathBuf,
    },
}

/// A key that was made elsewhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedKey {
    /// The vehicle.
    pub vehicle_id: Box<str>,
    /// Id of the key, 16 hexadecimal digits.
    pub key_id: Box<str>,
    /// Secret, 32 bytes in base64.
    pub secret: Box<str>,
}

/// A line of an answer.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlLine {
    /// One of a list.
    Item(Value),
    /// A sign that the work goes on.
    Progress(Value),
    /// Result: the last line.
    Ok(Value),
    /// Reason why nothing was done: the last line.
    Error(ControlError),
}

/// The reason that a request was not fulfilled, or may not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ControlError {
    /// Kind of the problem.
    pub problem: Problem,
    /// Names the cause and the remedy.
    pub message: String,
}

/// Kind of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The request is wrong.
    Invalid,
    /// The thing is not there, is there already, or was changed meanwhile.
    Refused,
    /// Too many commands speak to the service at once, or it stops, or the brokers of its cluster are away.
    Busy,
    /// The service or its disk failed.
    Failed,
    /// It may be done: the brokers of its cluster did not say.
    Doubtful,
}

impl ControlRequest {
    /// Returns true for what changes nothing.
    pub fn only_reads(&self) -> bool {
        matches!(self, Self::DeviceList {} | Self::TokenList {} | Self::ShareList {} | Self::ClusterStatus {})
    }

    /// Returns true for what may be the first thing that is put into a registry.
    pub fn makes(&self) -> bool {
        use ControlRequest as R;
        matches!(self, R::DeviceAdd { .. } | R::DeviceImport { .. } | R::TokenAdd { .. } | R::ShareAdd { .. })
    }

    /// Returns what the log says of it: its word, and its subject. Never a secret.
    pub fn told(&self) -> (&'static str, String) {
        match self {
            Self::DeviceAdd { name, .. } => ("device_add", name.to_string()),
            Self::DeviceList {} => ("device_list", String::new()),
            Self::DeviceRevoke { name } => ("device_revoke", name.to_string()),
            Self::DeviceRotate { name } => ("device_rotate", name.to_string()),
            Self::DeviceImport { rows } => ("device_import", format!("{} keys", rows.len())),
            Self::TokenAdd { name, role, .. } => ("token_add", format!("{name} ({})", role.word())),
            Self::TokenList {} => ("token_list", String::new()),
            Self::TokenRevoke { name } => ("token_revoke", name.to_string()),
            Self::ShareAdd { vehicle_id, .. } => ("share_add", vehicle_id.to_string()),
            Self::ShareList {} => ("share_list", String::new()),
            Self::ShareRevoke { number } => ("share_revoke", number.to_string()),
            Self::ClusterStatus {} => ("cluster_status", String::new()),
            Self::ClusterRepair { shard } => ("cluster_repair", shard.to_string()),
            Self::ClusterDrain {} => ("cluster_drain", String::new()),
            Self::ClusterRepairTrail {} => ("cluster_repair_trail", String::new()),
            Self::ClusterLead {} => ("cluster_lead", String::new()),
            Self::Backup { dir } => ("backup", dir.display().to_string()),
        }
    }
}

impl ControlError {
    /// Makes one.
    pub fn new(problem: Problem, message: impl Into<String>) -> Self {
        Self { problem, message: message.into() }
    }
}

impl From<RegistryError> for ControlError {
    fn from(err: RegistryError) -> Self {
        Self::new(Problem::Failed, err.to_string())
    }
}

impl From<PutError> for ControlError {
    fn from(err: PutError) -> Self {
        let problem = match err {
            PutError::Invalid(_) => Problem::Invalid,
            PutError::Registry(_) => Problem::Failed,
            PutError::Unavailable(_) => Problem::Busy,
            PutError::Doubtful(_) => Problem::Doubtful,
            _ => Problem::Refused,
        };
        Self::new(problem, err.to_string())
    }
}

// Neither shows a secret to a log.

impl fmt::Debug for ImportedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImportedKey({}, {})", self.vehicle_id, self.key_id)
    }
}

impl fmt::Debug for ControlLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(_) => f.write_str("Item(…)"),
            Self::Progress(value) => write!(f, "Progress({value})"),
            Self::Ok(_) => f.write_str("Ok(…)"),
            Self::Error(err) => write!(f, "Error({err})"),
        }
    }
}
