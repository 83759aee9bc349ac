//! The names under which a service on this machine may be asked: a page of another site must not reach it under its own.
//!
//! A page can send a request to any address that its browser reaches. It can read the answer only if its own name leads to this
//! machine, and then its requests carry that name as `Host`.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::problem::{Kind, Problem};

/// The names of this machine. An address and `localhost` always are. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct HostNames(Arc<[Box<str>]>);

impl HostNames {
    /// Takes these names; one may be an address of a page, of which the host counts.
    pub fn new<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        let names = names.into_iter().map(|name| bare(name.as_ref())).filter(|name| !name.is_empty());
        Self(names.map(String::into_boxed_str).collect())
    }

    /// Returns the first name in a request that is none of these.
    pub fn strange<'a>(&self, uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
        named(uri, headers).find(|host| !self.has(host))
    }

    fn has(&self, host: &str) -> bool {
        let name = bare(host);
        is_address(&name) || name == "localhost" || self.0.iter().any(|known| **known == *name)
    }
}

/// Returns the name of this machine; an empty text where it has none that can be one.
pub fn of_machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    let is_plain =
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if is_plain { name.to_owned() } else { String::new() }
}

/// Lets `router` answer under these names only.
pub fn around(router: Router, names: HostNames) -> Router {
    Router::new().fallback_service(router).layer(from_fn_with_state(names, pass))
}

async fn pass(State(names): State<HostNames>, request: Request, next: Next) -> Response {
    match names.strange(request.uri(), request.headers()) {
        None => next.run(request).await,
        Some(strange) => refused(strange, "http.names").into_response(),
    }
}

/// Refuses a name; `setting` is the one that would let it in.
pub fn refused(strange: &str, setting: &str) -> Problem {
    let why = format!(
        "the name {strange:?} is not one of this service: ask by address or as localhost, or add the name to the setting {setting}, \
         or set it as --public-url"
    );
    Problem::new(Kind::Misdirected, why)
}

/// Lists all that a request says about the name it was sent to. No browser leaves it out, so a request without it comes from no page.
fn named<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
    // What cannot be read as text is no name of ours.
    let of_headers = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or("?"));
    uri.authority().map(|authority| authority.as_str()).into_iter().chain(of_headers)
}

/// Returns a host without scheme, port, path and the dot at its end, in lower case.
fn bare(text: &str) -> String {
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn is_address(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.map_or_else(|| host.parse::<Ipv4Addr>().is_ok(), |inner| inner.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ours(names: &[&str], host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        HostNames::new(names).strange(&Uri::from_static("/metrics"), &headers).is_none()
    }

    #[test]
    fn an_address_localhost_and_a_name_that_is_set_are_ours() {
        let names = ["Depot-7", "https://vagn.example:8443/fleet", ""];
        for host in [
            "localhost",
            "LOCALHOST:9090",
            "localhost.",
            "127.0.0.1:9090",
            "[::1]:9090",
            "192.0.2.1",
            "depot-7:9090",
            "vagn.example",
            "VAGN.example.:443",
        ] {
            assert!(is_ours(&names, host), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "depot-8", "127.0.0.1.evil.example", "", "[evil]"]
        {
            assert!(!is_ours(&names, host), "{host}");
        }
    }

    #[test]
    fn every_name_in_a_request_counts() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse().unwrap());
        let names = HostNames::default();
        assert_eq!(names.strange(&Uri::from_static("http://evil.example/x"), &headers), Some("evil.example"));
        headers.append(header::HOST, "evil.example".parse().unwrap());
        assert_eq!(names.strange(&Uri::from_static("/"), &headers), Some("evil.example"));
        assert_eq!(
            names.strange(&Uri::from_static("/"), &HeaderMap::new()),
            None,
            "no browser leaves it out"
        );
    }
}
