//! The gate in front of the ops pages: they ask for no token, so a page in a browser on the same machine must not reach them.
//!
//! A page can send a request to any address that its browser reaches, but not one with a header of its own. It can read the answer
//! only if its own name leads to this machine, and then its requests carry that name as `Host`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use vagn_flow::metrics::{MetricRegistry, ReasonLabel};
use vagn_http::host::{self, HostNames};
use vagn_http::problem::{Kind, Problem};

/// Lets through what does not come from a foreign page.
#[derive(Debug)]
pub(super) struct Gate {
    names: HostNames,
    refused: Family<ReasonLabel, Counter>,
}

impl Gate {
    /// Takes the names of this machine.
    pub(super) fn new(names: &[String], registry: &MetricRegistry) -> Arc<Self> {
        let refused = Family::default();
        let help = "Requests to the ops pages that were refused as those of a foreign page, by reason";
        let refused = registry.register("ops_requests_refused", help, refused);
        for reason in ["host", "header", "origin"] {
            // There from the first scrape on, so that an increase is seen.
            drop(refused.get_or_create(&ReasonLabel { reason }));
        }
        Arc::new(Self { names: HostNames::new(names), refused })
    }

    fn refuse(&self, reason: &'static str, problem: Problem) -> Problem {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
        problem
    }

    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        if let Some(strange) = self.names.strange(uri, headers) {
            return Err(self.refuse("host", host::refused(strange, "ops.names")));
        }
        if *method != Method::POST {
            return Ok(());
        }
        if headers.get("x-vagn").is_none_or(|value| value != "1") {
            let why = "every POST needs the header `X-Vagn: 1`, which a page in a browser cannot send";
            return Err(self.refuse("header", Problem::new(Kind::Forbidden, why)));
        }
        if is_foreign(headers) {
            let why = "this request comes from a page of another origin, which may not ask for this";
            return Err(self.refuse("origin", Problem::new(Kind::Forbidden, why)));
        }
        Ok(())
    }
}

/// Passes a request on, or refuses it.
pub(super) async fn pass(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    match gate.check(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// True for an `Origin` other than that of these pages themselves.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let own = format!("http://{}", text(header::HOST));
    headers.contains_key(header::ORIGIN) && text(header::ORIGIN) != own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], method: &Method, headers: &[(&str, &str)]) -> Option<u16> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let gate = Gate::new(&names, &MetricRegistry::new());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap());
        }
        gate.check(method, &Uri::from_static("/metrics"), &map)
            .err()
            .map(|problem| problem.kind.status().as_u16())
    }

    #[test]
    fn an_address_localhost_and_a_name_that_is_set_are_ours() {
        let ours = [
            "localhost",
            "LOCALHOST:9093",
            "localhost.",
            "127.0.0.1",
            "127.0.0.1:9093",
            "[::1]",
            "[::1]:9093",
            "192.0.2.1:80",
            "vagn.example",
            "Vagn.Example:9093",
        ];
        for host in ours {
            assert_eq!(check(&["VAGN.example"], &Method::GET, &[("host", host)]), None, "{host}");
        }
        assert_eq!(check(&[], &Method::GET, &[]), None, "no browser leaves it out");
    }

    #[test]
    fn a_name_that_leads_here_by_accident_or_malice_is_not() {
        for host in [
            "evil.example",
            "evil.example:9093",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            ":9093",
            "::1",
            "[::1].evil.example",
            "2130706433",
            "vagn.example:9093",
        ] {
            assert_eq!(check(&[], &Method::GET, &[("host", host)]), Some(421), "{host}");
        }
        assert_eq!(check(&[], &Method::GET, &[("host", "localhost"), ("host", "evil.example")]), Some(421));
        let gate = Gate::new(&[], &MetricRegistry::new());
        let absolute = Uri::from_static("http://evil.example/metrics");
        assert!(gate.check(&Method::GET, &absolute, &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_post_says_that_it_is_meant_and_comes_from_no_foreign_page() {
        let host = ("host", "localhost:9093");
        for (headers, expected) in [
            (&[host, ("x-vagn", "1")][..], None),
            (&[host, ("x-vagn", "1"), ("origin", "http://localhost:9093")], None),
            (&[host], Some(403)),
            (&[host, ("x-vagn", "2")], Some(403)),
            (&[host, ("x-vagn", "1"), ("origin", "https://evil.example")], Some(403)),
            (&[host, ("x-vagn", "1"), ("origin", "null")], Some(403)),
            (&[host, ("x-vagn", "1"), ("origin", "http://localhost:9090")], Some(403)),
        ] {
            assert_eq!(check(&[], &Method::POST, headers), expected, "{headers:?}");
        }
    }
}
