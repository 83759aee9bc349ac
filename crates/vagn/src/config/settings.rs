//! The settings, with their defaults. The names of the fields are the keys of `vagn.toml`.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::cluster::ClusterSettings;
use super::emergency::EmergencySettings;
use super::fsync::Fsync;
use super::span::Span;
use vagn_flow::peer::SharedAddresses;
use vagn_flow::proof::DeviceMode;

/// All settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Directory for everything that is kept. Locked while the service runs.
    pub data_dir: PathBuf,
    /// Lets doors and APIs listen on addresses beyond loopback although they ask for no key or token.
    pub insecure_open: bool,
    /// Times at which the position log is forced to disk.
    pub fsync: Fsync,
    /// Number of partitions; 0 keeps the number of the data directory, or takes 1 in a new one. A change rewrites the store at
    /// the start.
    pub partitions: u32,
    /// Most vehicles known at a time; reports of further new vehicles are shed and counted.
    pub max_vehicles: u32,
    /// A vehicle that has not reported for this time is forgotten.
    pub forget_after: Span,
    /// Most incidents open at a time; further new ones are refused and counted, and an alert tells of them.
    pub max_open_incidents: u32,
    /// Bytes that must stay free on the disk. With less, positions fail, so that incidents can still be written.
    pub free_floor_bytes: u64,
    /// An actor that works on one message for longer than this counts as hung and is restarted.
    pub hang_limit: Span,
    /// The UDP door.
    pub udp: UdpSettings,
    /// The TLS TCP door.
    pub tcp: TcpSettings,
    /// The HTTPS API.
    pub http: HttpSettings,
    /// Map under the vehicles.
    pub map: MapSettings,
    /// Metrics and health, plain HTTP.
    pub ops: OpsSettings,
    /// Notices to the emergency targets.
    pub emergency: EmergencySettings,
    /// Proof that vehicles must bring.
    pub auth: AuthSettings,
    /// Devices, tokens and shares.
    pub registry: RegistrySettings,
    /// The log of past positions.
    pub history: HistorySettings,
    /// The fleet on many machines.
    pub cluster: ClusterSettings,
    /// The wall clock.
    pub clock: ClockSettings,
    /// Workers and queues.
    pub pools: PoolSettings,
    /// The log on standard error.
    pub log: LogSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: "./vagn-data".into(),
            insecure_open: false,
            fsync: Fsync::Every(Span::seconds(1)),
            partitions: 0,
            max_vehicles: 10_000_000,
            forget_after: Span::seconds(30 * 24 * 3600),
            max_open_incidents: 100_000,
            free_floor_bytes: 256 << 20,
            hang_limit: Span::seconds(10),
            udp: UdpSettings::default(),
            tcp: TcpSettings::default(),
            http: HttpSettings::default(),
            map: MapSettings::default(),
            ops: OpsSettings::default(),
            emergency: EmergencySettings::default(),
            auth: AuthSettings::default(),
            registry: RegistrySettings::default(),
            history: HistorySettings::default(),
            cluster: ClusterSettings::default(),
            clock: ClockSettings::default(),
            pools: PoolSettings::default(),
            log: LogSettings::default(),
        }
    }
}

/// Answer to a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// Nothing.
    None,
    /// The two bytes of the original, backslash and `n`, for every datagram in clear with a report in it that is taken in.
    Original,
}

/// `[udp]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UdpSettings {
    /// Host and port; `localhost` binds both address families.
    pub listen: String,
    /// Receive buffer to ask the kernel for, in bytes.
    pub receive_buffer_bytes: u32,
    /// Answer to each datagram.
    pub reply: Reply,
    /// Lets the kernel merge datagrams of one sender (generic receive offload). For gateways that send for many
    /// vehicles.
    pub gro: bool,
}

impl Default for UdpSettings {
    fn default() -> Self {
        Self {
            listen: "localhost:9092".into(),
            receive_buffer_bytes: 8 << 20,
            reply: Reply::None,
            gro: false,
        }
    }
}

/// `[tcp]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TcpSettings {
    /// Host and port.
    pub listen: String,
    /// Most connections at a time.
    pub max_connections: u32,
    /// A connection that sends nothing for this time is closed.
    pub idle_timeout: Span,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self { listen: "localhost:9091".into(), max_connections: 8_192, idle_timeout: Span::seconds(300) }
    }
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Host and port.
    pub listen: String,
    /// Tokens that may everything and name nobody. Better ones are made with `vagn token add`. Without any of either, the API is open to
    /// everyone on this machine.
    pub tokens: Vec<String>,
    /// Origins, such as `https://map.example`, whose pages may use the API from a browser, or `*` for all. Without any, browsers let
    /// no page in but the API's own.
    #[serde(deserialize_with = "one_or_many")]
    pub cors_origins: Vec<String>,
    /// Certificate chain as PEM; empty: one is made in the data directory. The TCP door uses it too.
    pub cert: PathBuf,
    /// Private key of the certificate, as PEM.
    pub key: PathBuf,
    /// Address under which people and programs reach the API, such as `https://fleet.example`; empty: that of the listener. Its name is
    /// in the certificate that the service makes for itself.
    pub public_url: String,
    /// Further names of this machine, for the certificate that the service makes for itself.
    #[serde(deserialize_with = "one_or_many")]
    pub names: Vec<String>,
    /// Serves the API without TLS: on loopback, or behind a proxy that ends TLS.
    pub plain: bool,
    /// Most connections at a time.
    pub max_connections: u32,
    /// Most bytes of answers that are made, or wait for clients to take them; further ones are refused.
    pub max_answer_bytes: u32,
    /// Addresses that many clients share, such as those of reverse proxies: they have no limit of their own, as this machine.
    #[serde(deserialize_with = "addresses")]
    pub shared_addresses: Vec<IpAddr>,
    /// Addresses of reverse proxies whose `Forwarded` or `X-Forwarded-…` is believed. They are shared addresses, too.
    #[serde(deserialize_with = "addresses")]
    pub trusted_proxies: Vec<IpAddr>,
    /// Most requests a second of one token, besides those with reports; 0: as many as come.
    pub rate: u32,
    /// Most requests a second from one address, besides those with reports; 0: as many as come.
    pub rate_per_address: u32,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: "localhost:9090".into(),
            tokens: Vec::new(),
            cors_origins: Vec::new(),
            cert: PathBuf::new(),
            key: PathBuf::new(),
            public_url: String::new(),
            names: Vec::new(),
            plain: false,
            max_connections: 8_192,
            max_answer_bytes: 256 << 20,
            shared_addresses: Vec::new(),
            trusted_proxies: Vec::new(),
            rate: 0,
            rate_per_address: 0,
        }
    }
}

impl HttpSettings {
    /// Returns the addresses behind which there are many. Behind a proxy there are, whether its word is taken or not.
    pub fn shared(&self) -> SharedAddresses {
        SharedAddresses::new(self.shared_addresses.iter().chain(&self.trusted_proxies).copied())
    }
}

/// Reads a list of texts, for which a single text may stand.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text or a list of texts")]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    })
}

/// Reads a list of IP addresses, for which a single one may stand.
fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpAddr>, D::Error> {
    let read = |text: &String| text.trim().parse();
    let texts = one_or_many(from)?;
    let wrong = |text: &str| D::Error::custom(format!("{text:?} is not an IP address, such as 192.0.2.7"));
    texts.iter().map(|text| read(text).map_err(|_| wrong(text))).collect()
}

/// `[map]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MapSettings {
    /// Map file (PMTiles 3), which the service gives out; empty: none.
    pub pmtiles: PathBuf,
    /// Map style that the pages load: an address with `https`, or a path on the same server; empty: none.
    pub style_url: String,
}

/// `[ops]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpsSettings {
    /// Host and port.
    pub listen: String,
    /// Names of this machine under which the pages may be asked for, besides its addresses and `localhost`. Pages of other sites reach
    /// them under none.
    #[serde(deserialize_with = "one_or_many")]
    pub names: Vec<String>,
    /// Lets `POST /actors/{name}/fault` make an actor panic or hang, for chaos drills.
    pub fault_injection: bool,
}

impl Default for OpsSettings {
    fn default() -> Self {
        Self { listen: "localhost:9093".into(), names: Vec::new(), fault_injection: false }
    }
}

/// `[auth]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthSettings {
    /// What reports must prove. `open`: nothing, but seals are checked where they come; `mixed`: a vehicle that has a key may only
    /// speak sealed; `required`: every report is sealed, or comes over HTTPS with a token and from a vehicle without a key.
    pub devices: DeviceMode,
}

/// `[registry]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrySettings {
    /// File with the key that wraps the secrets of devices: 32 bytes in base64; empty: they are in the registry in clear.
    pub key_file: PathBuf,
}

/// `[history]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistorySettings {
    /// Time for which the log of past positions stays on disk.
    pub keep: Span,
}

impl Default for HistorySettings {
    fn default() -> Self {
        Self { keep: Span::seconds(24 * 3600) }
    }
}

/// `[clock]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockSettings {
    /// Takes the kernel's word that its clock is synchronised. Off for containers and virtual machines whose kernel cannot know.
    pub kernel: bool,
}

impl Default for ClockSettings {
    fn default() -> Self {
        Self { kernel: true }
    }
}

/// `[pools]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolSettings {
    /// Workers that decode reports; 0: half the cores, at least one.
    pub ingest_workers: u32,
    /// Batches from UDP that may wait for a worker; when it is full, the oldest batch is shed.
    pub shed_queue: u32,
    /// Batches from TCP and HTTP that may wait for a worker; when it is full, their senders wait.
    pub wait_queue: u32,
    /// Workers that answer queries; 0: one per core, at least two.
    pub query_workers: u32,
    /// Queries that may wait for a worker; when it is full, the answer is 503.
    pub query_queue: u32,
    /// Batches that may wait for one partition's storage.
    pub storage_mailbox: u32,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            ingest_workers: 0,
            shed_queue: 512,
            wait_queue: 64,
            query_workers: 0,
            query_queue: 1024,
            storage_mailbox: 64,
        }
    }
}

/// Amount of logging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Things that are broken.
    Error,
    /// Things that may break, or that were refused.
    Warn,
    /// Starts, stops, restarts, incidents.
    Info,
    /// Batches, jobs and queries.
    Debug,
    /// Single datagrams.
    Trace,
}

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// Amount of logging.
    pub level: LogLevel,
    /// Format of the log.
    pub format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Text }
    }
}
