//! The API over HTTPS.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use vagn_api::{LiveStreams, QueryMetrics, Streams};
use vagn_emergency::EmergencyHandle;
use vagn_flow::intake::Intake;
use vagn_http::body::{BodyLimits, Budget};
use vagn_http::cors;
use vagn_http::principal::Tokens;
use vagn_http::server::{self, Limits, Server, ServerParts};
use vagn_http::token_guard::TokenGuard;
use vagn_live::Tiles;
use vagn_live::stream::PositionStreams;
use vagn_otp::ChildSpec;

use super::Parts;
use crate::app::asked::{LiveIncidents, LiveVehicles};

/// Limits for the bodies of reports. The longest has some 50 000 positions, a small one a hundred.
const BODIES: BodyLimits =
    BodyLimits { one: 8 << 20, small: 16 << 10, all: 64 << 20, within: Duration::from_secs(30) };

/// Returns the server of the API, over the stages behind it.
pub(super) fn build(
    parts: &Parts,
    listeners: Vec<TcpListener>,
    intake: &Intake,
    vehicles: LiveVehicles,
    streams: PositionStreams,
    emergency: EmergencyHandle,
    tiles: Arc<Tiles>,
) -> anyhow::Result<ChildSpec> {
    let guard = TokenGuard::new(parts.clock.clone(), &parts.metric_registry, fastrand::u64(..));
    let router = vagn_api::router(vagn_api::Services {
        vehicles: Arc::new(vehicles),
        incidents: Arc::new(LiveIncidents(emergency)),
        tiles,
        intake: intake.clone(),
        bodies: Budget::new(BODIES),
        streams: Streams::default(),
        positions: LiveStreams::new(streams),
        readiness: parts.readiness.clone(),
        clock: parts.clock.clone(),
        metrics: QueryMetrics::new(&parts.metric_registry),
        tokens: Tokens::new(&parts.settings.http.tokens).guarded(guard),
        basemap: parts.basemap.clone(),
    });
    let router = cors::around(router, &parts.settings.http.cors_origins);
    let tls = match parts.settings.http.plain {
        true => None,
        false => Some(parts.identity.server_config(&[b"h2", b"http/1.1"]).context("set up TLS for the API")?),
    };
    let server = Server::new(ServerParts {
        router,
        tls,
        limits: Limits { memory: parts.memory.clone(), ..Limits::default() },
        places: parts.places.http.clone(),
        metrics: parts.doors.clone(),
        behind: Some(parts.view_runtime.clone()),
        handshakes: Some(parts.handshake_runtime.clone()),
    });
    Ok(server::child("web", server, listeners).watchdog(parts.settings.hang_limit.0))
}
