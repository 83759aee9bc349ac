//! Targets: their order, and the address and headers of a notice to each.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::notify::signature::{BadSecret, Secret};
use crate::record::attempt::MessageKey;

/// Targets of the service.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// Targets for real incidents, in this order.
    pub chain: Vec<Target>,
    /// Target for drills, and for nothing else.
    pub drill: Option<Target>,
}

impl Targets {
    /// Returns all targets: the chain, then the one for drills.
    pub fn all(&self) -> impl Iterator<Item = &Target> {
        self.chain.iter().chain(&self.drill)
    }
}

/// A target: the receiver of notices.
#[derive(Clone)]
pub struct Target {
    name: Box<str>,
    url: Url,
    secret: Option<Secret>,
    /// Longest wait for the answer to one attempt.
    pub timeout: Duration,
    /// Most attempts under way at a time.
    pub slots: usize,
    /// Time until the turn passes on to the next target, while no person acknowledges.
    pub escalate_after: Duration,
}

/// Turn of a target: what the desk has to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Name of the target.
    pub target: Box<str>,
    /// Most notices to it under way at a time.
    pub slots: usize,
    /// Time until the turn passes on.
    pub lasts: Duration,
}

/// Position of a target in the rules: the chain first, then the target for drills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetIndex(pub usize);

/// Settings that make no target.
#[derive(Debug, thiserror::Error)]
pub enum BadTarget {
    /// Not a URL of HTTP or HTTPS.
    #[error("url is not an http or https url: {0}")]
    Url(String),
    /// Not a secret of the scheme.
    #[error("{0}")]
    Secret(#[from] BadSecret),
}

impl Target {
    /// Returns the target `name` at `url`. Its notices are signed unless `secret` is empty.
    ///
    /// # Errors
    /// When the URL is not one of HTTP or HTTPS with a host, or the secret is not one of Standard Webhooks.
    pub fn new(
        name: &str,
        url: &str,
        secret: &str,
        timeout: Duration,
        slots: usize,
        escalate_after: Duration,
    ) -> Result<Self, BadTarget> {
        let url = Url::parse(url).map_err(|err| BadTarget::Url(err.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(BadTarget::Url(format!("its scheme is {}", url.scheme())));
        }
        let secret = if secret.is_empty() { None } else { Some(secret.parse()?) };
        Ok(Self { name: name.into(), url, secret, timeout, slots, escalate_after })
    }

    /// Returns the name in settings, records and metrics.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address of the target.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns true when notices to both may reach the same receiver: path, query, port and host are the same, however they
    /// are written. This machine is one host under all of its own names; user and password make no difference.
    pub fn is_same_place(&self, other: &Self) -> bool {
        address(&self.url) == address(&other.url)
    }

    /// Returns the turn of the target.
    pub fn turn(&self) -> Turn {
        Turn { target: self.name.clone(), slots: self.slots, lasts: self.escalate_after }
    }

    /// Returns the headers of `body`, sent at `now_ms` since 1970 as the message `key`.
    pub fn headers(&self, key: MessageKey, now_ms: i64, body: &[u8]) -> HeaderMap {
        let key = key.to_string();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(HeaderName::from_static("idempotency-key"), plain(&key));
        if let Some(secret) = &self.secret {
            let now_s = now_ms.div_euclid(1000);
            headers.insert(HeaderName::from_static("webhook-id"), plain(&key));
            headers.insert(HeaderName::from_static("webhook-timestamp"), HeaderValue::from(now_s));
            let signature = secret.sign(&key, now_s, body);
            headers.insert(HeaderName::from_static("webhook-signature"), plain(&signature));
        }
        headers
    }
}

/// Returns host, port, path and query, each in one way of writing it.
fn address(url: &Url) -> (String, Option<u16>, String, Option<&str>) {
    // A drill that reaches a real target under another spelling would send a crew out, and some servers ignore case and
    // slashes at the end.
    let path = url.path().trim_end_matches('/').to_ascii_lowercase();
    (host(url), url.port_or_known_default(), path, url.query().filter(|query| !query.is_empty()))
}

fn host(url: &Url) -> String {
    let named = url.host_str().unwrap_or_default().trim_end_matches('.');
    let address = named.trim_matches(['[', ']']).parse().map(|address: IpAddr| address.to_canonical());
    let is_here = match address {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => named == "localhost" || named.ends_with(".localhost"),
    };
    match address {
        _ if is_here => "localhost".to_owned(),
        Ok(address) => address.to_string(),
        Err(_) => named.to_owned(),
    }
}

fn plain(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a UUID and base64 are plain ASCII")
}

/// Shows name, scheme, host and port. The path may hold a token, so it is not for the log.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.url.origin().ascii_serialization())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::IncidentId;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NOW_MS: i64 = 1_700_000_000_000;

    fn target(url: &str, secret: &str) -> Result<Target, BadTarget> {
        Target::new("county", url, secret, Duration::from_secs(10), 4, Duration::from_secs(60))
    }

    #[test]
    fn carries_one_key_per_message_and_signs_when_it_can() {
        for number in [0, 3] {
            let key = MessageKey { incident: IncidentId::from_u128(9), number };
            let plain = target("http://127.0.0.1:1/x", "").unwrap().headers(key, NOW_MS, b"{}");
            assert_eq!(plain["idempotency-key"], key.to_string());
            assert!(!plain.contains_key("webhook-signature"));
            let signed = target("http://127.0.0.1:1/x", SECRET).unwrap().headers(key, NOW_MS, b"{}");
            assert_eq!(
                (&signed["webhook-id"], &signed["webhook-timestamp"]),
                (&plain["idempotency-key"], &"1700000000".parse().unwrap())
            );
            let signature = signed["webhook-signature"].to_str().unwrap();
            let secret: Secret = SECRET.parse().unwrap();
            assert!(secret.verify(&key.to_string(), NOW_MS / 1000, b"{}", signature));
        }
    }

    #[test]
    fn keeps_tokens_out_of_the_log() {
        let target = target("https://user:pass@dispatch.example:8443/hook/token", "").unwrap();
        assert_eq!(target.to_string(), "county at https://dispatch.example:8443");
    }

    #[test]
    fn refuses_urls_and_secrets_that_make_no_target() {
        for url in ["", "dispatch.example", "ftp://dispatch.example/", "file:///etc/passwd"] {
            assert!(matches!(target(url, ""), Err(BadTarget::Url(_))), "{url}");
        }
        assert!(matches!(target("http://a/", "whsec_c2hvcnQ="), Err(BadTarget::Secret(_))));
    }
}
