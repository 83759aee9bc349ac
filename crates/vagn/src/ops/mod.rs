//! The operator's view, over plain HTTP on loopback: metrics, health, readiness, the process tree and, for drills, faults.
//!
//! It stands apart from the web, so that it can always say what is wrong with the rest.

pub mod actors;
pub mod collector;
pub mod faults;
pub mod health;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use vagn_otp::Processes;

use vagn_flow::metrics::Registry;
use vagn_flow::readiness::Readiness;
use vagn_http::answer;
use vagn_http::problem::{Kind, Problem};

/// The process list, once the tree it shows has started. The ops pages are themselves a part of that tree.
pub type LateProcesses = Arc<OnceLock<Processes>>;

/// What the pages show.
pub struct Services {
    /// Everything that is counted.
    pub registry: Arc<Registry>,
    /// Whether the service is fit for use.
    pub readiness: Arc<Readiness>,
    /// What runs.
    pub processes: LateProcesses,
    /// The setting `ops.fault_injection`.
    pub fault_injection: bool,
}

/// What every handler can reach.
#[derive(Clone)]
pub struct Ops(Arc<Services>);

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

/// All pages. From here on a scrape also shows the mailboxes and restarts of the process list.
pub fn router(services: Services) -> Router {
    services
        .registry
        .register_collector(Box::new(collector::ProcessCollector::new(services.processes.clone())));
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/actors", get(actors::tree))
        .route("/actors/{name}/fault", post(faults::inject))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Ops(Arc::new(services)))
}

async fn metrics(State(ops): State<Ops>) -> Response {
    answer::live(
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ops.registry.page().into_bytes(),
    )
}

async fn nothing_here() -> Problem {
    Problem::new(Kind::NotFound, "here are /metrics, /healthz, /readyz and /actors")
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(Kind::MethodNotAllowed, format!("{} does not know {method}", uri.path()))
}

#[cfg(test)]
mod tests;
