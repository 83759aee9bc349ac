//! The address under which a request reached this service: scheme and host, as its client used them.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};

/// The scheme and host of a client; an extractor for handlers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Scheme that the client used.
    pub(crate) scheme: &'static str,
    /// Host that the client named, as far as a trusted proxy tells.
    pub(crate) host: Option<Box<str>>,
}

impl Reached {
    /// Returns the host that the client named; empty where it named none.
    pub(crate) fn host<'a>(&'a self, uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
        let told = self.host.as_deref();
        let named = told.or_else(|| uri.authority().map(|authority| authority.as_str()));
        named.or_else(|| headers.get(header::HOST)?.to_str().ok()).unwrap_or_default()
    }

    /// Returns scheme and host of a request, for links to be sent on; nothing where that is no host.
    pub fn origin(&self, uri: &Uri, headers: &HeaderMap) -> String {
        let host = self.host(uri, headers);
        if host.is_empty() || !host.bytes().all(is_of_host) {
            return String::new();
        }
        format!("{}://{host}", self.scheme)
    }
}

/// Returns true for a byte that a name or an address with its port may have.
fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte)
}

impl Default for Reached {
    fn default() -> Self {
        Self { scheme: "https", host: None }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Reached {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Without a server around the router, as in tests, nothing is known.
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_the_scheme_and_host_that_its_reader_can_use() {
        let told = |scheme, host: Option<&str>| Reached { scheme, host: host.map(Into::into) };
        for (reached, uri, host, expected) in [
            (told("http", None), "/x", "localhost:9090", "http://localhost:9090"),
            (told("https", None), "/x", "[::1]:9090", "https://[::1]:9090"),
            (told("https", None), "https://vagn.example/x", "other.example", "https://vagn.example"),
            (told("https", Some("fleet.example")), "/x", "10.0.0.1:8080", "https://fleet.example"),
            (told("https", None), "/x", "a\"b", ""),
            (told("https", None), "/x", "", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            assert_eq!(reached.origin(&uri.parse().unwrap(), &headers), expected);
        }
    }
}
