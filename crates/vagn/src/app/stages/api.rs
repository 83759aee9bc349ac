//! The API over HTTPS.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use vagn_api::{LiveStreams, QueryMetrics, ShareStreams, Streams};
use vagn_emergency::EmergencyHandle;
use vagn_flow::clock::Clock;
use vagn_flow::intake::Intake;
use vagn_flow::metrics::MetricRegistry;
use vagn_flow::trust::Trust;
use vagn_http::access_log;
use vagn_http::body::{BodyLimits, Budget};
use vagn_http::cors;
use vagn_http::credentials::{CredentialParts, Credentials};
use vagn_http::forwarded::TrustedProxies;
use vagn_http::host::{self, HostNames};
use vagn_http::rates::Rates;
use vagn_http::route::Entry;
use vagn_http::server::{self, Limits, Server, ServerParts};
use vagn_http::token_guard::TokenGuard;
use vagn_live::Tiles;
use vagn_live::stream::PositionStreams;
use vagn_otp::ChildSpec;
use vagn_registry::Registry;

use super::Parts;
use crate::app::asked::{LiveIncidents, LiveVehicles};
use crate::app::roles;
use crate::config::HttpSettings;

/// Limits for the bodies of reports. The longest has some 50 000 positions, a small one a hundred.
const BODIES: BodyLimits =
    BodyLimits { one: 8 << 20, small: 16 << 10, all: 64 << 20, within: Duration::from_secs(30) };

/// Returns the server of the API, with the children that it needs, over the stages behind it.
pub(super) fn build(
    parts: &Parts,
    listeners: Vec<TcpListener>,
    intake: &Intake,
    vehicles: LiveVehicles,
    streams: PositionStreams,
    emergency: EmergencyHandle,
    tiles: Arc<Tiles>,
) -> anyhow::Result<Vec<ChildSpec>> {
    let (entry, noting) = entry(parts);
    entry.credentials.load().context("read the tokens of the registry")?;
    let following = entry.credentials.child();
    let router = vagn_api::router(vagn_api::Services {
        vehicles: Arc::new(vehicles),
        incidents: Arc::new(LiveIncidents(emergency)),
        tiles,
        intake: intake.clone(),
        bodies: budget(parts),
        streams: Streams::shown(&parts.metric_registry),
        positions: LiveStreams::new(streams),
        shares: ShareStreams::shown(&parts.metric_registry),
        readiness: parts.readiness.clone(),
        clock: parts.clock.clone(),
        metrics: QueryMetrics::new(&parts.metric_registry),
        entry,
        basemap: parts.basemap.clone(),
        udp_port: parts.udp_port,
    });
    let router = match parts.settings.cluster.is_set() {
        true => roles::around(router, parts.settings.cluster.roles()?),
        false => router,
    };
    let router = cors::around(router, &parts.settings.http.cors_origins);
    let router = if is_local(&listeners) { host::around(router, names(parts)) } else { router };
    let tls = match parts.settings.http.plain {
        true => None,
        false => Some(
            parts
                .certificates
                .identity
                .server_config(&[b"h2", b"http/1.1"])
                .context("set up TLS for the API")?,
        ),
    };
    let server = Server::new(ServerParts {
        router,
        tls,
        limits: Limits { memory: parts.memory.clone(), proxies: proxies(parts), ..Limits::default() },
        places: parts.places.http.clone(),
        metrics: parts.doors.clone(),
        behind: Some(parts.view_runtime.clone()),
        handshakes: Some(parts.handshake_runtime.clone()),
    });
    let children = following.into_iter().chain([noting, server::child("web", server, listeners)]);
    Ok(children.map(|child| child.watchdog(parts.settings.hang_limit.0)).collect())
}

/// Makes the memory for bodies of reports; that for bodies of deeds is beside it.
fn budget(parts: &Parts) -> Budget {
    parts.memory.note_bodies(BODIES.all + vagn_api::DEED_BODIES_MAX);
    Budget::new(BODIES)
}

/// Makes the tokens, sessions and shares that are known; until they are loaded, those of the settings alone.
pub(in crate::app) fn credentials(
    http: &HttpSettings,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
    trust: &Arc<Trust>,
    metrics: &Arc<MetricRegistry>,
) -> Credentials {
    Credentials::new(CredentialParts {
        clock: clock.clone(),
        registry: Some(registry.clone()),
        of_settings: http.tokens.clone(),
        is_open_to_all: !http.is_local(),
        trust: Some(trust.clone()),
        guard: Some(TokenGuard::new(clock.clone(), metrics, fastrand::u64(..))),
    })
}

/// Makes what judges requests, and the child that writes down who has read what.
fn entry(parts: &Parts) -> (Entry, ChildSpec) {
    let http = &parts.settings.http;
    let clock = || parts.clock.clone();
    let credentials = parts.credentials.clone();
    let rates = Rates::new(clock(), http.rate, http.rate_per_address, fastrand::u64(..));
    let (access_log, lines) = access_log::open(clock(), &parts.metric_registry);
    let public_origin = http.public_url.as_str().into();
    (Entry { credentials, rates, access_log, public_origin }, lines.child(&parts.settings.data_dir))
}

/// Returns true if these are reached from this machine alone.
fn is_local(listeners: &[TcpListener]) -> bool {
    listeners.iter().all(|listener| listener.local_addr().is_ok_and(|address| address.ip().is_loopback()))
}

/// Returns the names under which a local API may be asked.
fn names(parts: &Parts) -> HostNames {
    let http = &parts.settings.http;
    HostNames::new(http.names.iter().cloned().chain([host::of_machine(), http.public_url.clone()]))
}

fn proxies(parts: &Parts) -> TrustedProxies {
    TrustedProxies::new(parts.settings.http.trusted_proxies.iter().copied())
}
