//! The admission of a request, before anything is done for it: it must name one host, and there must be memory for its answer.

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use axum::response::IntoResponse;

use super::account::Portion;
use super::caller::Caller;
use super::forwarded::{TrustedProxies, Word, is_forwarded};
use super::memory::Rank;
use super::problem::{Kind, Problem};
use super::reached::Reached;
use super::strict;
use super::taken::{Taken, prepare};

/// A request that may go on, and later its answer.
pub(crate) struct Admitted {
    slip: Portion,
    rank: Rank,
    caller: Caller,
}

/// The way in on which a request comes: what its server and its connection say about it.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    /// Only the operator's pages are there.
    pub(crate) is_operators: bool,
    /// The connection is encrypted.
    pub(crate) is_tls: bool,
    /// Proxies whose word is taken, if the other end is one of them.
    pub(crate) proxies: Option<TrustedProxies>,
}

/// Admits a request.
///
/// # Errors
/// The answer, when it goes no further.
pub(crate) fn admit<B>(
    caller: &Caller,
    request: &mut Request<B>,
    way: &Way,
) -> Result<Admitted, Box<Response<Taken>>> {
    let rank = rank(request.method(), way.is_operators);
    let (caller, reached) = way.behind(caller, request.headers());
    let slip = caller.admit(rank).map_err(|_| Box::new(no_room(&caller)))?;
    let admitted = Admitted { slip, rank, caller: caller.clone() };
    if let Err(problem) = host(request) {
        return Err(Box::new(admitted.answer(problem.into_response())));
    }
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(reached);
    Ok(admitted)
}

impl Way {
    /// Returns the caller, and the way in which it reached this service: the connection itself, or a client behind a proxy whose word is taken.
    fn behind(&self, connection: &Caller, headers: &HeaderMap) -> (Caller, Reached) {
        let is_forwarded = is_forwarded(headers);
        // A proxy that is not named is there to end TLS, in general; and the cookie of a session comes over TLS only.
        let own = if self.is_tls || is_forwarded { "https" } else { "http" };
        let Some(proxies) = self.proxies.as_ref().filter(|_| is_forwarded) else {
            return (connection.clone(), Reached { scheme: own, host: None });
        };
        let Word { client, scheme, host } = proxies.word(headers);
        let caller = client.map_or_else(|| connection.clone(), |address| connection.behind(address));
        (caller, Reached { scheme: scheme.unwrap_or(own), host })
    }
}

impl Admitted {
    /// Prepares the answer to be sent.
    pub(crate) fn answer(self, mut response: axum::response::Response) -> Response<Taken> {
        strict::add(response.headers_mut());
        prepare(response, self.slip, self.rank, &self.caller)
    }
}

fn rank(method: &Method, is_operators: bool) -> Rank {
    match *method {
        _ if is_operators => Rank::Operator,
        Method::GET | Method::HEAD | Method::OPTIONS => Rank::Small,
        _ => Rank::Deed,
    }
}

/// Answers without a body, which is all that nothing need be held for.
fn no_room(caller: &Caller) -> Response<Taken> {
    let mut response = StatusCode::SERVICE_UNAVAILABLE.into_response();
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    strict::add(headers);
    prepare(response, caller.owe(0), Rank::Small, caller)
}

/// Checks the host that the request names (RFC 9112, 3.2): what stands in front of this server may have taken another one.
fn host<B>(request: &Request<B>) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(refused("the header Host is there more than once")),
        // HTTP/1.0 does not know it, and HTTP/2 has a field of its own.
        (None, None) if request.version() != Version::HTTP_11 => Ok(()),
        (None, None) => Err(refused("the header Host is missing, which a request of HTTP/1.1 must have")),
        (Some(host), None) if Authority::try_from(host.as_bytes()).is_ok() => Ok(()),
        (Some(_), None) => Err(refused("the header Host names no host")),
    }
}

fn refused(why: &'static str) -> Problem {
    Problem::new(Kind::InvalidRequest, why)
}

#[cfg(test)]
mod tests {
    use axum::body::HttpBody;

    use super::*;

    fn way(is_operators: bool) -> Way {
        Way { is_operators, is_tls: true, proxies: None }
    }

    #[test]
    fn the_word_of_a_proxy_is_taken_only_where_it_is_trusted() {
        let proxies = TrustedProxies::new(["192.0.2.1".parse().unwrap()]);
        let proxy = Caller::new(std::sync::Arc::default(), "192.0.2.1".parse().unwrap());
        for (proxies, client, scheme) in
            [(Some(proxies), "198.51.100.7", "http"), (None, "192.0.2.1", "https")]
        {
            let mut request = Request::get("/").header(header::HOST, "a");
            for (name, value) in [("x-forwarded-for", "198.51.100.7"), ("x-forwarded-proto", "http")] {
                request = request.header(name, value);
            }
            let mut request = request.body(()).unwrap();
            let admitted = admit(&proxy, &mut request, &Way { proxies, ..way(false) });
            assert!(admitted.is_ok());
            let caller = request.extensions().get::<Caller>().unwrap();
            assert_eq!(caller.source(), Some(client.parse::<std::net::IpAddr>().unwrap().into()));
            assert_eq!(request.extensions().get::<Reached>().unwrap().scheme, scheme);
        }
    }

    #[test]
    fn plain_http_has_its_scheme_unless_a_proxy_stands_before_it() {
        let plain = Way { is_tls: false, ..way(false) };
        for (way, header, scheme) in
            [(&plain, None, "http"), (&plain, Some("via"), "https"), (&way(false), None, "https")]
        {
            let request = Request::get("/").header(header::HOST, "a");
            let request = header.into_iter().fold(request, |request, name| request.header(name, "1.1 proxy"));
            let mut request = request.body(()).unwrap();
            assert!(admit(&Caller::alone(), &mut request, way).is_ok());
            assert_eq!(request.extensions().get::<Reached>().unwrap().scheme, scheme, "{header:?}");
        }
    }

    fn status(version: Version, hosts: &[&str]) -> StatusCode {
        let mut request = Request::builder().version(version).uri("/");
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        let mut request = request.body(()).unwrap();
        admit(&Caller::alone(), &mut request, &way(false))
            .map_or_else(|refusal| refusal.status(), |_| StatusCode::OK)
    }

    #[test]
    fn a_request_names_one_host() {
        let (fine, wrong) = (StatusCode::OK, StatusCode::BAD_REQUEST);
        for (version, hosts, expected) in [
            (Version::HTTP_11, &["vagn.example"][..], fine),
            (Version::HTTP_11, &["localhost:9090"], fine),
            (Version::HTTP_11, &["[::1]:9090"], fine),
            (Version::HTTP_11, &[], wrong),
            (Version::HTTP_11, &[""], wrong),
            (Version::HTTP_11, &["a b"], wrong),
            (Version::HTTP_11, &["a/b"], wrong),
            (Version::HTTP_11, &["vagn.example", "vagn.example"], wrong),
            (Version::HTTP_10, &[], fine),
            (Version::HTTP_10, &["a", "b"], wrong),
            (Version::HTTP_2, &[], fine),
            (Version::HTTP_2, &["a", "b"], wrong),
        ] {
            assert_eq!(status(version, hosts), expected, "{version:?} {hosts:?}");
        }
    }

    #[test]
    fn without_memory_the_answer_has_no_body_that_would_take_some() {
        let caller = Caller::alone();
        let held: Vec<_> = std::iter::from_fn(|| caller.admit(Rank::Small).ok()).collect();
        let mut get = Request::get("/").header(header::HOST, "a").body(()).unwrap();
        let Err(refusal) = admit(&caller, &mut get, &way(false)) else { panic!("there is no room") };
        assert_eq!(refusal.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refusal.headers()[header::RETRY_AFTER], "1");
        assert!(refusal.body().is_end_stream());
        let mut post = Request::post("/").header(header::HOST, "a").body(()).unwrap();
        assert!(admit(&caller, &mut post, &way(false)).is_ok(), "a deed still has room");
        let mut scrape = Request::get("/metrics").header(header::HOST, "a").body(()).unwrap();
        assert!(admit(&caller, &mut scrape, &way(true)).is_ok(), "so has the operator");
        drop(held);
        assert!(admit(&caller, &mut get, &way(false)).is_ok());
    }
}
