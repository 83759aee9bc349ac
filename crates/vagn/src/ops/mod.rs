//! The ops pages, over plain HTTP on loopback: metrics, health, readiness, the process tree and, for tests, injected faults.
//!
//! They have a listener of their own, apart from the API, so that they can tell what is wrong when the API does not work.

mod actors;
mod clock;
mod collector;
mod faults;
mod gate;
mod health;
mod oddities;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::Value;
use vagn_otp::Processes;

use crate::odd::OddFleet;
use vagn_flow::clock::Clock;
use vagn_flow::metrics::MetricRegistry;
use vagn_flow::readiness::Readiness;
use vagn_flow::trust::Trust;
use vagn_http::answer;
use vagn_http::problem::{Kind, Problem};

pub(crate) use health::of as readiness_of;

/// The process list, set once the tree has started. The ops pages are a part of that tree, and start before it is complete.
pub(crate) type LateProcesses = Arc<OnceLock<Processes>>;

/// Shows members, shards, brokers and calls for help of a cluster, as this node sees them; nothing while its node does not run. From memory.
pub(crate) type ShowCluster = Arc<dyn Fn() -> Option<Value> + Send + Sync>;

/// Sources of the pages.
pub(crate) struct Services {
    /// All metrics.
    pub registry: Arc<MetricRegistry>,
    /// The judge of the wall clock.
    pub(crate) trust: Arc<Trust>,
    /// State of the parts that must work.
    pub(crate) readiness: Arc<Readiness>,
    /// The running processes.
    pub(crate) processes: LateProcesses,
    /// Vehicles that behave oddly.
    pub(crate) odd: OddFleet,
    /// Tells which oddities are of the last day.
    pub(crate) clock: Arc<dyn Clock>,
    /// Shows the cluster that this service is a node of; `None` on one machine.
    pub(crate) cluster: Option<ShowCluster>,
    /// Names of this machine, besides its addresses and `localhost`.
    pub(crate) names: Vec<String>,
    /// The setting `ops.fault_injection`.
    pub(crate) fault_injection: bool,
}

/// The services, as each handler gets them.
#[derive(Clone)]
pub(crate) struct Ops(Arc<Services>);

impl std::ops::Deref for Ops {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}

impl Ops {
    fn running(&self) -> Result<&Processes, Problem> {
        self.processes.get().ok_or_else(|| Problem::new(Kind::NotReady, "the service is still starting"))
    }
}

/// Builds the router of all pages, and adds the mailboxes and restarts of the process list to the metrics.
pub(crate) fn router(services: Services) -> Router {
    services
        .registry
        .register_collector(Box::new(collector::ProcessCollector::new(services.processes.clone())));
    let gate = gate::Gate::new(&services.names, &services.registry);
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/oddities", get(oddities::summary))
        .route("/actors", get(actors::tree))
        .route("/clock/accept", post(clock::accept))
        .route("/actors/{name}/fault", post(faults::inject))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Ops(Arc::new(services)))
        .layer(from_fn_with_state(gate, gate::pass))
}

async fn metrics(State(ops): State<Ops>) -> Response {
    answer::live(
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ops.registry.page().into_bytes(),
    )
}

async fn nothing_here() -> Problem {
    Problem::new(Kind::NotFound, "here are /metrics, /healthz, /readyz, /oddities and /actors")
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(Kind::MethodNotAllowed, format!("{} does not know {method}", uri.path()))
}

#[cfg(test)]
mod tests;
