//! The web: questions about the fleet in, answers out, over HTTPS.
//!
//! A request goes server → router → one short handler per resource → [`services`], and comes back as GeoJSON, as the
//! original's JSON or as a [`Problem`]. Nothing here keeps state between requests.

pub mod audit;
pub mod incidents;
mod metrics;
pub mod openapi;
pub mod page;
pub mod positions;
mod routes;
pub mod services;
pub mod vehicles;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use tracing::debug;

pub use incidents::events::Streams;
pub use metrics::QueryMetrics;
use services::{Incidents, Unavailable, Vehicles};
pub use vehicles::{geojson, legacy};

use vagn_flow::clock::Clock;
use vagn_flow::intake::Intake;
use vagn_http::body::Budget;
use vagn_http::principal::Tokens;
use vagn_http::problem::{Kind, Problem};
use vagn_http::route;

/// What every handler can reach.
#[derive(Clone)]
pub struct Web(Arc<Services>);

/// The stages behind the web, and what it needs to speak of time.
pub struct Services {
    /// Reads and deletes vehicles.
    pub vehicles: Arc<dyn Vehicles>,
    /// Reads incidents and acts on them.
    pub incidents: Arc<dyn Incidents>,
    /// Takes reports in.
    pub intake: Intake,
    /// Limits what the bodies of reports may cost.
    pub bodies: Budget,
    /// What the bodies of deeds may cost.
    pub deeds: Budget,
    /// How many follow what changes.
    pub streams: Streams,
    /// Tells the time of an answer.
    pub clock: Arc<dyn Clock>,
    /// Counts questions.
    pub metrics: QueryMetrics,
    /// Who may ask.
    pub tokens: Tokens,
}

impl std::ops::Deref for Web {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}

impl Web {
    /// Waits for an answer, measures it under `route`, and turns a missing one into a problem. `count` says how many things
    /// were found, for the log.
    async fn ask<T>(
        &self,
        route: &'static str,
        count: impl FnOnce(&T) -> usize,
        asked: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, Problem> {
        let start = self.clock.monotonic();
        let answer = asked.await;
        let took = self.clock.monotonic() - start;
        self.metrics.observe(route, took.as_secs_f64());
        match &answer {
            Ok(found) => debug!(route, took_us = took.as_micros() as u64, count = count(found), "answered"),
            Err(why) => debug!(route, took_us = took.as_micros() as u64, ?why, "could not answer"),
        }
        answer.map_err(Problem::from)
    }
}

/// All resources.
pub fn router(services: Services) -> Router {
    let web = Web(Arc::new(services));
    route::router(routes::routes(), &web.tokens)
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(web)
}

async fn nothing_here(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(80).collect();
    Problem::new(Kind::NotFound, format!("nothing is at {path}; {} says what there is", openapi::ROUTE))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(80).collect();
    Problem::new(
        Kind::MethodNotAllowed,
        format!("{path} does not know {method}; the header Allow says what it knows"),
    )
}

#[cfg(test)]
mod tests;
