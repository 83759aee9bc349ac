//! A broker's monitor: an HTTP port that tells how the broker is set up, and whom it hears. <https://docs.nats.io/running-a-nats-service/nats_admin/monitoring>

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Client, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use vagn_flow::clock::{Clock, SystemClock};
use vagn_nats::Follower;

use super::time::Reading;

/// Longest wait for an answer of a monitor.
const WITHIN: Duration = Duration::from_secs(3);

/// Most bytes that are read of an answer. A broker of a large cluster says some tens of KiB.
const BYTES_MAX: usize = 4 << 20;

/// What a monitor says of its broker.
#[derive(Debug, Clone)]
pub(super) struct Monitor {
    pub(super) said: Varz,
    /// Why the broker is not well; none if it is.
    pub(super) ill: Option<String>,
    asked_ms: i64,
    answered_ms: i64,
}

/// The part of `/varz` that is judged.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Varz {
    pub(super) server_name: String,
    now: Option<String>,
    /// Left out where it is false.
    #[serde(default)]
    pub(super) tls_required: bool,
    pub(super) cluster: Option<Routes>,
    pub(super) jetstream: Option<JetStream>,
}

/// Listener for other brokers. Without a name there is none.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Routes {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) tls_required: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct JetStream {
    pub(super) config: Option<Store>,
    pub(super) stats: Option<Stats>,
    pub(super) meta: Option<Meta>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Store {
    pub(super) max_storage: i64,
    /// Time between syncs, ns; counts only where not each write is synced.
    pub(super) sync_interval: Option<u64>,
    #[serde(default)]
    pub(super) sync_always: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Stats {
    pub(super) reserved_storage: u64,
}

/// The group of brokers that decides where streams are.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Meta {
    #[serde(default)]
    pub(super) leader: String,
    cluster_size: Option<usize>,
    replicas: Option<Vec<Follower>>,
}

#[derive(Deserialize)]
struct Health {
    status: String,
    #[serde(default)]
    error: String,
}

/// Asks a monitor.
///
/// # Errors
/// It does not answer, or with something else.
pub(super) async fn ask(url: &str, tls: rustls::ClientConfig) -> Result<Monitor, String> {
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or("it is no address such as http://a.example:8222")?;
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .timeout(WITHIN)
        .no_proxy()
        .build()
        .map_err(|err| text(&err))?;
    let asked_ms = SystemClock::new().now_ms();
    let said: Varz = get(&client, &url, "varz").await?;
    let answered_ms = SystemClock::new().now_ms();
    let health: Health = get(&client, &url, "healthz").await?;
    let ill = (health.status != "ok").then_some(match health.error.is_empty() {
        true => health.status,
        false => health.error,
    });
    Ok(Monitor { said, ill, asked_ms, answered_ms })
}

async fn get<T: DeserializeOwned>(client: &Client, url: &Url, path: &str) -> Result<T, String> {
    let whole = format!("{}/{path}", url.as_str().trim_end_matches('/'));
    let mut answer = client.get(whole).send().await.map_err(|err| text(&err))?;
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|err| text(&err))? {
        if bytes.len() + piece.len() > BYTES_MAX {
            return Err(format!("/{path} has more than {BYTES_MAX} bytes"));
        }
        bytes.extend_from_slice(&piece);
    }
    serde_json::from_slice(&bytes).map_err(|_| format!("what answers is no monitor of NATS (/{path})"))
}

/// An error with its causes, of which the first names only the address.
fn text(err: &reqwest::Error) -> String {
    let mut causes = vec![err.to_string()];
    let mut cause = std::error::Error::source(err);
    while let Some(err) = cause {
        causes.push(err.to_string());
        cause = err.source();
    }
    causes.join(": ")
}

impl Monitor {
    pub(super) fn name(&self) -> &str {
        &self.said.server_name
    }

    pub(super) fn store(&self) -> Option<&Store> {
        self.said.jetstream.as_ref()?.config.as_ref()
    }

    pub(super) fn reserved(&self) -> Option<u64> {
        Some(self.said.jetstream.as_ref()?.stats.as_ref()?.reserved_storage)
    }

    pub(super) fn meta(&self) -> Option<&Meta> {
        self.said.jetstream.as_ref()?.meta.as_ref()
    }

    pub(super) fn cluster_size(&self) -> Option<usize> {
        self.meta()?.cluster_size
    }

    fn peers(&self) -> impl Iterator<Item = &Follower> {
        self.meta().and_then(|meta| meta.replicas.as_ref()).into_iter().flatten()
    }

    /// Its own name and those of the brokers that it knows.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name()).chain(self.peers().map(|peer| &*peer.name))
    }

    /// Names of brokers that it does not hear. The leader hears all of them, another one only the leader.
    pub(super) fn away(&self) -> impl Iterator<Item = &str> {
        let leader = self.meta().map_or("", |meta| &*meta.leader);
        let hears = move |peer: &Follower| leader == self.name() || leader == peer.name;
        let is_away = move |peer: &&Follower| peer.is_offline || hears(peer) && peer.is_away();
        self.peers().filter(is_away).map(|peer| &*peer.name)
    }

    /// What its clock showed.
    pub(super) fn reading(&self) -> Option<Reading> {
        let shown_ms = self.said.now.as_ref()?.parse::<jiff::Timestamp>().ok()?.as_millisecond();
        let Self { asked_ms, answered_ms, .. } = *self;
        Some(Reading { broker: self.name().to_owned(), shown_ms, asked_ms, answered_ms })
    }
}

/// Monitors by the names of their brokers.
pub(super) fn by_name<'a>(monitors: impl Iterator<Item = &'a Monitor>) -> BTreeMap<&'a str, &'a Monitor> {
    monitors.map(|monitor| (monitor.name(), monitor)).collect()
}

/// A broker that is set up as it should be, but for this change.
#[cfg(test)]
pub(super) fn told(name: &str, change: impl FnOnce(&mut serde_json::Value)) -> Monitor {
    let mut said = serde_json::json!({
        "server_name": name, "now": "1970-01-01T00:00:10Z", "tls_required": true,
        "cluster": {"name": "vagn", "tls_required": true},
        "jetstream": {
            "config": {"max_storage": 64_000_000_000_u64, "sync_interval": 120_000_000_000_u64, "sync_always": true},
            "stats": {"reserved_storage": 0},
            "meta": {"leader": "n1", "cluster_size": 3, "replicas": [{"name": "n2", "current": true}, {"name": "n3", "current": true}]},
        },
    });
    change(&mut said);
    Monitor { said: serde_json::from_value(said).unwrap(), ill: None, asked_ms: 10_000, answered_ms: 10_000 }
}
