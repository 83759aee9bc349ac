//! The API: questions about the fleet and its incidents in, answers out, over HTTPS.
//!
//! A request goes from the server through the table of routes to one short handler per endpoint, which asks the
//! [`services`]. The answer is GeoJSON, the original's JSON or a [`Problem`]. Nothing here keeps state between requests.

mod audit;
mod incidents;
pub mod map;
mod metrics;
mod openapi;
mod page;
mod positions;
mod routes;
pub mod services;
mod session;
mod shares;
mod sight;
mod sse;
mod targets;
mod tiles;
mod vehicles;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, Method, Uri};
use tracing::debug;

pub use incidents::events::Streams;
pub use incidents::fields::BODIES_MAX as DEED_BODIES_MAX;
use map::{Basemap, StyleUrl};
pub use metrics::QueryMetrics;
use services::{Incidents, Unavailable, Vehicles};
pub use shares::ShareStreams;
pub use vehicles::stream::LiveStreams;
pub use vehicles::{geojson, legacy};

use vagn_flow::clock::Clock;
use vagn_flow::intake::Intake;
use vagn_flow::readiness::Readiness;
use vagn_http::account::Account;
use vagn_http::body::Budget;
use vagn_http::problem::{Kind, Problem};
use vagn_http::route::{self, Entry};
use vagn_live::Tiles;

/// The stages behind the API, and what else its handlers need.
pub struct Services {
    /// Reads and deletes vehicles.
    pub vehicles: Arc<dyn Vehicles>,
    /// Reads incidents and takes requests about them.
    pub incidents: Arc<dyn Incidents>,
    /// Makes tiles of the map.
    pub tiles: Arc<Tiles>,
    /// Takes reports in.
    pub intake: Intake,
    /// Limits what the bodies of reports may cost.
    pub bodies: Budget,
    /// Limits of the event streams.
    pub streams: Streams,
    /// Streams of positions.
    pub positions: LiveStreams,
    /// Streams of vehicles that are shared.
    pub shares: ShareStreams,
    /// Tells why reports could not be stored.
    pub readiness: Arc<Readiness>,
    /// Tells the time of an answer.
    pub clock: Arc<dyn Clock>,
    /// Measures questions by route.
    pub metrics: QueryMetrics,
    /// Judges who asks.
    pub entry: Entry,
    /// What the vehicles are drawn on.
    pub basemap: Arc<Basemap>,
    /// UDP port of this machine at which vehicles report, if it has one.
    pub udp_port: Option<u16>,
}

/// The state that all handlers share.
#[derive(Clone)]
struct Api(Arc<Shared>);

struct Shared {
    services: Services,
    /// Limits for the bodies of persons' requests.
    request_bodies: Budget,
    /// Places for searches for the incidents of a vehicle.
    searches: Arc<Account>,
    /// Content security policy of the pages.
    page_policy: HeaderValue,
}

impl Api {
    fn new(services: Services) -> Self {
        let page_policy = page::policy::make(services.basemap.style.as_ref().and_then(StyleUrl::origin));
        let (request_bodies, searches) = (incidents::request_bodies(), incidents::searches::places());
        Self(Arc::new(Shared { services, request_bodies, searches, page_policy }))
    }

    fn page_policy(&self) -> &HeaderValue {
        &self.0.page_policy
    }

    fn searches(&self) -> &Arc<Account> {
        &self.0.searches
    }

    fn request_bodies(&self) -> &Budget {
        &self.0.request_bodies
    }

    /// Waits for an answer, measures it under `route`, and turns a missing one into a problem. `count` gives the number of
    /// things found, for the log.
    async fn ask<T>(
        &self,
        route: &'static str,
        count: impl FnOnce(&T) -> usize,
        asked: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, Problem> {
        let start = self.clock.monotonic();
        let answer = asked.await;
        // Failed ones too: their deadlines belong to the durations.
        let took = self.clock.monotonic() - start;
        self.metrics.observe(route, took.as_secs_f64());
        match &answer {
            Ok(found) => debug!(route, took_us = took.as_micros() as u64, count = count(found), "answered"),
            Err(why) => debug!(route, took_us = took.as_micros() as u64, ?why, "could not answer"),
        }
        answer.map_err(Problem::from)
    }
}

impl Deref for Api {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0.services
    }
}

/// Makes the router of all endpoints.
pub fn router(services: Services) -> Router {
    let api = Api::new(services);
    route::router(routes::routes(), &api.entry)
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(api)
}

/// Most characters of an unknown path that a refusal repeats.
const PATH_SHOWN_MAX: usize = 80;

async fn nothing_here(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(PATH_SHOWN_MAX).collect();
    Problem::new(Kind::NotFound, format!("nothing is at {path}; {} lists what there is", openapi::ROUTE))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(PATH_SHOWN_MAX).collect();
    Problem::new(
        Kind::MethodNotAllowed,
        format!("{path} does not know {method}; the header Allow lists the methods that it knows"),
    )
}

#[cfg(test)]
mod tests;
