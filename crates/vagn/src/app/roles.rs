//! What a node of a cluster does not do: the API says so, and which nodes do. Calls and people are served by every node.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use vagn_http::problem::{Kind, Problem};

use crate::config::Roles;

/// Begins the paths of questions about the fleet.
const FLEET: [&str; 3] = ["/api/v1/vehicle", "/api/v1/positions/stream", "/tiles"];

/// Path of reports.
const REPORTS: &str = "/api/v1/positions";

/// Lets `router` answer what a node with these roles does, and refuses the rest.
pub(super) fn around(router: Router, roles: Roles) -> Router {
    if roles.query && roles.ingest {
        return router;
    }
    Router::new().fallback_service(router).layer(from_fn_with_state(roles, pass))
}

async fn pass(State(roles): State<Roles>, request: Request, next: Next) -> Response {
    match lacking(roles, request.method(), request.uri()) {
        None => next.run(request).await,
        // Not a refusal for good: behind an address of several nodes the next try may reach another one.
        Some(role) => {
            let why = format!("this node has not the role `{role}`; ask a node of the cluster that has it");
            Problem::new(Kind::NotReady, why).into_response()
        }
    }
}

/// Returns the role that this request needs, if the node has it not.
fn lacking(roles: Roles, method: &Method, uri: &Uri) -> Option<&'static str> {
    let path = uri.path();
    if !roles.ingest && method == Method::POST && path == REPORTS {
        return Some("ingest");
    }
    let is_nearest = path == "/" && uri.query().is_some();
    let is_fleet = FLEET.iter().any(|begin| path.starts_with(begin));
    let asks = method == Method::GET || method == Method::HEAD;
    (!roles.query && asks && (is_nearest || is_fleet)).then_some("query")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(roles: Roles, asked: &[(Method, &str, Option<&str>)]) {
        for (method, uri, expected) in asked {
            assert_eq!(lacking(roles, method, &uri.parse().unwrap()), *expected, "{method} {uri}");
        }
    }

    #[test]
    fn a_node_without_doors_takes_no_reports_and_answers_questions() {
        let roles = Roles { ingest: false, ..Roles::ALL };
        check(
            roles,
            &[
                (Method::POST, "/api/v1/positions", Some("ingest")),
                (Method::GET, "/?lat=1&lon=2", None),
                (Method::GET, "/api/v1/vehicles/nearby?lat=1&lon=2", None),
            ],
        );
    }

    #[test]
    fn a_node_that_answers_no_questions_serves_people_and_calls() {
        let roles = Roles { query: false, ..Roles::ALL };
        check(
            roles,
            &[
                (Method::GET, "/?lat=1&lon=2", Some("query")),
                (Method::GET, "/", None),
                (Method::GET, "/api/v1/vehicles/nearby?lat=1&lon=2", Some("query")),
                (Method::GET, "/api/v1/vehicles/bus", Some("query")),
                (Method::DELETE, "/api/v1/vehicles/bus", None),
                (Method::GET, "/api/v1/positions/stream", Some("query")),
                (Method::GET, "/tiles/3/1/2.mvt", Some("query")),
                (Method::POST, "/api/v1/positions", None),
                (Method::GET, "/api/v1/incidents", None),
                (Method::GET, "/incidents", None),
            ],
        );
    }
}
