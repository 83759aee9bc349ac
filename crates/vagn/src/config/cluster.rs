//! `[cluster]`: brokers that bind several nodes to one fleet, and the part that this node has in it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vagn_cluster::{NodeId, SHARDS_MAX, fold, hash};
use vagn_nats::{Options, OptionsError};
use vagn_shard::ShardSettings;

use super::settings::{Settings, one_or_many};

/// Longest name of a node or a zone, in bytes.
const NAME_MAX: usize = 64;

/// `[cluster]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSettings {
    /// Addresses of NATS brokers with JetStream, such as `tls://a.example:4222`; `nats://` for loopback alone. Without any the fleet
    /// is on this machine alone.
    #[serde(deserialize_with = "one_or_many")]
    pub nats: Vec<String>,
    /// Part that this node has: `ingest`, `store`, `query`, `emergency`; empty: all four.
    #[serde(deserialize_with = "one_or_many")]
    pub role: Vec<String>,
    /// Name of this node, another one for each, the same over restarts; empty: that of the machine.
    pub node: String,
    /// Zone, such as a building: copies of a shard are in different ones. Empty: the node is a zone of its own.
    pub zone: String,
    /// Name of the data set at the brokers.
    pub set: String,
    /// Number of shards of a new data set. It cannot be changed later.
    pub shards: u32,
    /// Certificates, as PEM, by which brokers are believed; empty: those that the machine believes.
    pub ca: PathBuf,
    /// Certificate by which brokers know this node, as PEM; empty: none.
    pub cert: PathBuf,
    /// Private key of the certificate, as PEM.
    pub key: PathBuf,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            nats: Vec::new(),
            role: Vec::new(),
            node: String::new(),
            zone: String::new(),
            set: "fleet".into(),
            shards: 8,
            ca: PathBuf::new(),
            cert: PathBuf::new(),
            key: PathBuf::new(),
        }
    }
}

/// Parts that a node has in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Doors take reports.
    pub ingest: bool,
    /// Shards are kept here.
    pub store: bool,
    /// The API answers questions about the fleet.
    pub query: bool,
    /// It may lead calls for help.
    pub emergency: bool,
}

impl Roles {
    /// All of them.
    pub const ALL: Self = Self { ingest: true, store: true, query: true, emergency: true };
    const NONE: Self = Self { ingest: false, store: false, query: false, emergency: false };

    fn of(names: &[String]) -> Result<Self, BadCluster> {
        if names.is_empty() {
            return Ok(Self::ALL);
        }
        let mut roles = Self::NONE;
        for name in names {
            match name.trim() {
                "ingest" => roles.ingest = true,
                "store" => roles.store = true,
                "query" => roles.query = true,
                "emergency" => roles.emergency = true,
                _ => return Err(BadCluster::UnknownRole(name.clone())),
            }
        }
        Ok(roles)
    }
}

/// Reason why the settings of a cluster are refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadCluster {
    /// Addresses or the name of the data set.
    #[error("`{key}`: {why}")]
    Brokers {
        /// Name of the setting.
        key: &'static str,
        /// What is wrong, and the remedy.
        why: String,
    },
    /// A role that does not exist.
    #[error(
        "`cluster.role` has {0:?}; take some of ingest, store, query and emergency, or leave it out for all four"
    )]
    UnknownRole(String),
    /// A part of a cluster on one machine.
    #[error(
        "`cluster.{0}` needs brokers: name them with --nats, such as --nats tls://a.example,b.example,c.example, or leave it out"
    )]
    NoBrokers(&'static str),
    /// A name that is too long or has characters that cannot be shown.
    #[error("`cluster.{key}` has {name:?}; take 1 to {NAME_MAX} bytes without control characters")]
    Name {
        /// Name of the setting.
        key: &'static str,
        /// The wrong one.
        name: String,
    },
    /// A number of shards that cannot be.
    #[error("`cluster.shards = {0}`; take 1 to {SHARDS_MAX}")]
    Shards(u32),
    /// A certificate without a key, or a key without a certificate.
    #[error("`cluster.cert` and `cluster.key` go together; only one of them is set")]
    HalfCertificate,
}

impl ClusterSettings {
    /// True if the fleet is on many machines.
    pub fn is_set(&self) -> bool {
        !self.nats.is_empty()
    }

    /// Returns the part that this node has. One machine has all.
    ///
    /// # Errors
    /// Names a role that does not exist.
    pub fn roles(&self) -> Result<Roles, BadCluster> {
        Roles::of(&self.role)
    }

    /// Returns the name of this node, given that of the machine.
    pub fn node_name(&self, machine: &str) -> String {
        if self.node.is_empty() { machine.to_owned() } else { self.node.clone() }
    }

    /// Returns the addresses of the brokers: in a list, the scheme of the first stands for those without one.
    pub fn addresses(&self) -> Vec<String> {
        let mut scheme = String::from("tls://");
        let all = self.nats.iter().flat_map(|list| list.split(','));
        all.map(str::trim)
            .map(|address| match address.split_once("://") {
                Some((own, _)) => {
                    scheme = format!("{own}://");
                    address.to_owned()
                }
                None => format!("{scheme}{address}"),
            })
            .collect()
    }

    /// Finds an address with a user that has no scheme of its own. It may be the rest of a password with a comma, whose beginning would be
    /// taken for the name of a host, and be shown and asked for.
    fn torn(&self) -> Option<BadCluster> {
        let all = self.nats.iter().flat_map(|list| list.split(','));
        let at = all.skip(1).position(|address| address.contains('@') && !address.contains("://"))? + 2;
        let why = format!(
            "address {at} has a user or a password, and no scheme: write tls:// before it; a password with a comma cannot be given, choose \
             another one"
        );
        Some(BadCluster::Brokers { key: "cluster.nats", why })
    }

    /// Returns how brokers are spoken to, without TLS. `run` is a number that no other run has.
    ///
    /// # Errors
    /// Says what is wrong with an address or the name of the data set.
    pub fn options(&self, node: NodeId, run: u64) -> Result<Options, BadCluster> {
        if let Some(torn) = self.torn() {
            return Err(torn);
        }
        Options::new(&self.addresses(), &self.set, node, run).map_err(|err| BadCluster::Brokers {
            key: if matches!(err, OptionsError::Set(_)) { "cluster.set" } else { "cluster.nats" },
            why: err.to_string(),
        })
    }

    /// Checks that the settings can work.
    ///
    /// # Errors
    /// Names the first one that is wrong.
    pub fn check(&self) -> Result<(), BadCluster> {
        self.roles()?;
        let lone = [
            ("role", !self.role.is_empty()),
            ("node", !self.node.is_empty()),
            ("zone", !self.zone.is_empty()),
        ];
        if let Some((key, _)) = lone.into_iter().find(|(_, is_set)| *is_set && !self.is_set()) {
            return Err(BadCluster::NoBrokers(key));
        }
        for (key, name) in [("node", &self.node), ("zone", &self.zone)] {
            if name.len() > NAME_MAX || name.chars().any(char::is_control) {
                return Err(BadCluster::Name { key, name: name.clone() });
            }
        }
        if !(1..=u32::from(SHARDS_MAX)).contains(&self.shards) {
            return Err(BadCluster::Shards(self.shards));
        }
        if self.cert.as_os_str().is_empty() != self.key.as_os_str().is_empty() {
            return Err(BadCluster::HalfCertificate);
        }
        if self.is_set() {
            self.options(NodeId(0), 0)?;
        }
        Ok(())
    }
}

impl Settings {
    /// Returns a hash of what must be equal on all nodes: what a shard keeps, and whom doors let in.
    pub fn cluster_hash(&self) -> u64 {
        let devices = format!("{:?}", self.auth.devices);
        let numbers =
            [self.forget_after.as_ms() as u64, u64::from(self.max_vehicles), u64::from(self.cluster.shards)];
        numbers.into_iter().fold(hash(&[devices.as_bytes()]), fold)
    }

    /// Returns what each of so many shards keeps.
    pub fn of_shards(&self, shards: u32) -> ShardSettings {
        ShardSettings {
            forget_after_ms: self.forget_after.as_ms(),
            max_vehicles: self.max_vehicles.div_ceil(shards),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;

    fn with(change: impl FnOnce(&mut ClusterSettings)) -> ClusterSettings {
        let mut settings = ClusterSettings { nats: vec!["tls://a.example".into()], ..Default::default() };
        change(&mut settings);
        settings
    }

    fn refusal(change: impl FnOnce(&mut ClusterSettings)) -> String {
        with(change).check().unwrap_err().to_string()
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_node_has_all_parts_unless_it_is_told_which() {
        let roles = |names: &[&str]| with(|cluster| cluster.role = texts(names)).roles();
        assert_eq!(roles(&[]), Ok(Roles::ALL));
        assert_eq!(roles(&["ingest", "query"]), Ok(Roles { ingest: true, query: true, ..Roles::NONE }));
        assert_eq!(roles(&["store"]), Ok(Roles { store: true, ..Roles::NONE }));
        assert_eq!(roles(&["emergency"]), Ok(Roles { emergency: true, ..Roles::NONE }));
    }

    #[test]
    fn a_role_that_does_not_exist_is_refused_with_the_remedy() {
        let said = refusal(|cluster| cluster.role = texts(&["storage"]));
        assert!(
            said.contains("\"storage\"") && said.contains("ingest, store, query and emergency"),
            "{said}"
        );
    }

    #[test]
    fn the_scheme_of_the_first_address_stands_for_those_without_one() {
        let addresses = |list: &[&str]| with(|cluster| cluster.nats = texts(list)).addresses();
        assert_eq!(addresses(&["tls://a,b, c:4223"]), ["tls://a", "tls://b", "tls://c:4223"]);
        assert_eq!(addresses(&["nats://[::1]:1", "localhost:2"]), ["nats://[::1]:1", "nats://localhost:2"]);
        assert_eq!(addresses(&["a"]), ["tls://a"]);
    }

    #[test]
    fn brokers_over_a_network_are_spoken_to_in_tls_and_a_refusal_shows_no_password() {
        let said = refusal(|cluster| cluster.nats = texts(&["nats://me:hush@a.example"]));
        assert!(
            said.contains("cluster.nats") && said.contains("in clear") && !said.contains("hush"),
            "{said}"
        );
        assert_eq!(with(|cluster| cluster.nats = texts(&["nats://127.0.0.1:4222"])).check(), Ok(()));
        assert!(refusal(|cluster| cluster.set = "Fleet".into()).contains("cluster.set"));
    }

    #[test]
    fn nothing_of_a_password_is_shown_whatever_is_in_it() {
        for list in [
            "tls://kim:hu,sh@a.example",
            // Its beginning could be a port.
            "tls://kim:12,34@a.example",
            "tls://a.example,kim:hu,sh@b.example",
            "tls://kim:hu,tls://sh@a.example",
            "nats://kim:hu,sh@a.example,b.example",
            "kim:hu/sh@a.example",
            "tls://kim:hu sh@a.example:port",
        ] {
            // As it stands in a file, and as a flag is divided.
            for nats in [vec![list.to_owned()], list.split(',').map(str::to_owned).collect()] {
                let said = refusal(|cluster| cluster.nats = nats.clone());
                let shows = |part: &&str| said.contains(*part);
                assert!(!["kim:", "hu", "sh@", "12", "34"].iter().any(shows), "{list}: {said}");
                assert!(said.contains("cluster.nats"), "{said}");
            }
        }
        for list in
            ["tls://kim:hush@a.example,tls://kim:hush@b.example,c.example", "kim:hush@a.example,b.example"]
        {
            assert_eq!(with(|cluster| cluster.nats = texts(&[list])).check(), Ok(()), "{list}");
        }
    }

    #[test]
    fn a_part_of_a_cluster_needs_brokers() {
        for key in ["role", "node", "zone"] {
            let said = refusal(|cluster| {
                cluster.nats.clear();
                match key {
                    "role" => cluster.role = texts(&["store"]),
                    "node" => cluster.node = "a".into(),
                    _ => cluster.zone = "a".into(),
                }
            });
            assert!(said.contains(key) && said.contains("--nats"), "{said}");
        }
        assert_eq!(ClusterSettings::default().check(), Ok(()));
    }

    #[test]
    fn names_the_setting_that_cannot_work() {
        assert!(refusal(|cluster| cluster.shards = 0).contains("cluster.shards"));
        assert!(refusal(|cluster| cluster.shards = 257).contains("cluster.shards"));
        assert!(refusal(|cluster| cluster.node = "a".repeat(65)).contains("cluster.node"));
        assert!(refusal(|cluster| cluster.zone = "a\nb".into()).contains("cluster.zone"));
        assert!(refusal(|cluster| cluster.cert = "a.pem".into()).contains("cluster.key"));
    }

    #[test]
    fn nodes_with_other_bounds_are_told_apart() {
        let hash = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.cluster_hash()
        };
        let same = hash(|settings| settings.cluster.node = "a".into());
        assert_eq!(same, Settings::default().cluster_hash());
        let changes: [fn(&mut Settings); 4] = [
            |settings| settings.forget_after = Span::seconds(60),
            |settings| settings.max_vehicles = 7,
            |settings| settings.cluster.shards = 16,
            |settings| settings.auth.devices = vagn_flow::proof::DeviceMode::Required,
        ];
        assert!(changes.into_iter().all(|change| hash(change) != same));
    }
}
