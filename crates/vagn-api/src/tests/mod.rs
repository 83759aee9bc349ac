//! The whole router against a small fleet.

mod audit;
mod coarse;
mod description;
mod events;
mod fleet;
mod incidents;
mod lane;
mod map;
mod pages;
mod partial;
mod people;
mod positions;
mod questions;
mod requests;
mod responders;
mod roles;
mod stream;
mod targets;
mod tiles;
mod unproven;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use vagn_live::stream::{StreamMetrics, StreamParts};
use vagn_live::{OpenIncidents, OpenVehicles, TileMetrics, TileParts, Tiles};
use vagn_otp::Topic;
use vagn_store::Fleet;

use super::services::Unavailable;
use super::{Budget, Intake, LiveStreams, QueryMetrics, Services, ShareStreams, Streams, router};
use fleet::SmallFleet;
use vagn_flow::clock::ManualClock;
use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
use vagn_flow::proof::{DeviceMode, Proof};
use vagn_flow::stamp::Stamper;
use vagn_http::body::BodyLimits;
use vagn_http::testing::entry;

/// Limits of the bodies of reports.
const BODIES: BodyLimits =
    BodyLimits { one: 1 << 20, small: 16 << 10, all: 8 << 20, within: Duration::from_secs(30) };

/// The time of every answer.
const NOW_MS: i64 = 1_790_000_000_000;

/// An answer.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|err| panic!("{err}: {}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The problem's name after `urn:vagn:problem:`.
    fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.body);
        let kind = self.json()["type"].as_str().unwrap().to_owned();
        kind.strip_prefix("urn:vagn:problem:").unwrap().to_owned()
    }
}

/// Nobody calls for help.
struct NoCalls;

impl OpenIncidents for NoCalls {
    fn vehicles(&self) -> OpenVehicles {
        OpenVehicles::default()
    }
}

/// Tiles whose keeper does not run: those of vehicles work, and clusters are never counted.
fn tiles(fleet: &SmallFleet, clock: Arc<ManualClock>, registry: &MetricRegistry) -> Arc<Tiles> {
    let parts = TileParts {
        positions: Topic::new("positions"),
        fleet: fleet.fleet(),
        incidents: Arc::new(NoCalls),
        clock,
        metrics: TileMetrics::new(registry),
    };
    Tiles::new(parts, 0).0
}

fn services(fleet: SmallFleet) -> Services {
    let clock = Arc::new(ManualClock::at(NOW_MS));
    let registry = MetricRegistry::new();
    let dir = tempfile::tempdir().unwrap();
    let stamper = Arc::new(Stamper::open(dir.path(), clock.clone()).unwrap());
    let intake = Intake::new(Topic::new("traffic"), stamper, ReportMetrics::new(&registry));
    unproven(&intake);
    // Without its child: clients are let in and told nothing.
    let (streams, _child) = vagn_live::stream::streams(StreamParts {
        positions: Topic::new("positions"),
        fleet: Arc::new(Fleet::new(1)),
        clock: clock.clone(),
        metrics: StreamMetrics::new(&registry),
    });
    Services {
        tiles: tiles(&fleet, clock.clone(), &registry),
        vehicles: Arc::new(fleet),
        incidents: Arc::new(lane::SmallLane::new()),
        intake,
        bodies: Budget::new(BODIES),
        streams: Streams::default(),
        positions: LiveStreams::new(streams),
        shares: ShareStreams::default(),
        readiness: Arc::default(),
        clock,
        metrics: QueryMetrics::new(&registry),
        entry: entry(&[]),
        basemap: Arc::new(map::basemap(dir.path())),
        udp_port: Some(9092),
    }
}

/// Leaves a call for help of "tram 9" that could not be proved in the list, as number 1.
fn unproven(intake: &Intake) {
    let guard = intake.guard();
    guard.set_mode(DeviceMode::Required);
    let call = vagn_flow::testing::emergency("tram 9", None);
    guard.check(&call, Proof::None, || Some(std::net::IpAddr::from([192, 0, 2, 7]).into())).unwrap_err();
    guard.set_mode(DeviceMode::Open);
}

/// A router over three vehicles around Austin and one at the antimeridian.
fn austin() -> Router {
    router(services(SmallFleet::austin()))
}

fn failing(why: Unavailable) -> Router {
    router(services(SmallFleet::failing(why)))
}

async fn send(router: &Router, request: Request<Body>) -> Reply {
    let response = TowerToHyperService::new(router.clone()).call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let is_endless = parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
    let body = if is_endless { Body::empty() } else { body };
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Reply { status: parts.status, headers: parts.headers, body: String::from_utf8(body.into()).unwrap() }
}

async fn call(router: &Router, method: Method, path: &str) -> Reply {
    send(router, Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
}

async fn get(router: &Router, path: &str) -> Reply {
    call(router, Method::GET, path).await
}

/// The path of a route with `id` in it, or with a tile where no vehicle is, or with a share that is not there.
fn concrete(path: &str, id: &str) -> String {
    let path = path.replace("{id}", id).replace("{z}/{x}/{y}", "14/0/0.mvt");
    path.replace("{n}", "1").replace("{number}", "7").replace("{secret}", "unknown")
}

/// A client over a real socket.
fn client(http2: bool) -> reqwest::Client {
    // A second test of the same process finds it installed.
    rustls::crypto::ring::default_provider().install_default().ok();
    let builder = reqwest::Client::builder().danger_accept_invalid_certs(true);
    let builder = if http2 { builder } else { builder.http1_only() };
    builder.build().unwrap()
}

/// Opens a stream of server-sent events, over the router alone, behind the event `last`.
async fn follow(router: &Router, path: &str, last: Option<&str>) -> BodyDataStream {
    let mut request = Request::get(path);
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = TowerToHyperService::new(router.clone()).call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.into_body().into_data_stream()
}
