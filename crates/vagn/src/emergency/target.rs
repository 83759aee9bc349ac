//! A target: who is to be called, and what a call to it looks like.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use super::desk::Call;
use super::id::IncidentId;
use super::signature::{BadSecret, Secret};
use crate::rfc3339::rfc3339;

/// Where calls go.
#[derive(Clone)]
pub struct Target {
    url: Url,
    secret: Option<Secret>,
    /// Longest wait for the answer to one attempt.
    pub timeout: Duration,
    /// Most attempts under way at a time.
    pub lines: usize,
}

/// The target cannot be called.
#[derive(Debug, thiserror::Error)]
pub enum BadTarget {
    /// Not a URL of HTTP or HTTPS.
    #[error("emergency url is not an http or https url: {0}")]
    Url(String),
    /// Not a secret of the scheme.
    #[error("emergency {0}")]
    Secret(#[from] BadSecret),
}

impl Target {
    /// The target at `url`; calls are signed when `secret` is not empty.
    ///
    /// # Errors
    /// When the URL is not one of HTTP or HTTPS with a host, or the secret is not one of Standard Webhooks.
    pub fn new(url: &str, secret: &str, timeout: Duration, lines: usize) -> Result<Self, BadTarget> {
        let url = Url::parse(url).map_err(|err| BadTarget::Url(err.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(BadTarget::Url(format!("its scheme is {}", url.scheme())));
        }
        let secret = if secret.is_empty() { None } else { Some(secret.parse()?) };
        Ok(Self { url, secret, timeout, lines })
    }

    /// Where to send it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What goes along with `body`, sent at `now_ms` since 1970 about the incident `id`.
    pub fn headers(&self, id: IncidentId, now_ms: i64, body: &[u8]) -> HeaderMap {
        let id = id.to_string();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(HeaderName::from_static("idempotency-key"), plain(&id));
        if let Some(secret) = &self.secret {
            let now_s = now_ms.div_euclid(1000);
            headers.insert(HeaderName::from_static("webhook-id"), plain(&id));
            headers.insert(HeaderName::from_static("webhook-timestamp"), HeaderValue::from(now_s));
            let signature = secret.sign(&id, now_s, body);
            headers.insert(HeaderName::from_static("webhook-signature"), plain(&signature));
        }
        headers
    }
}

fn plain(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a UUID and base64 are plain ASCII")
}

/// Scheme, host and port. The path may hold a token, so it is not for the log.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url.origin().ascii_serialization())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// The body of a call.
#[derive(Debug, Serialize)]
pub struct Payload<'a> {
    incident_id: IncidentId,
    vehicle_id: &'a str,
    lat: Option<f64>,
    lon: Option<f64>,
    position_time: Option<String>,
    position_trusted: bool,
    received_at: String,
    kind: Option<&'static str>,
    attempt: u32,
    age_s: f64,
}

impl<'a> Payload<'a> {
    /// What `call` says when it is made at `now_ms` since 1970.
    pub fn new(call: &'a Call, now_ms: i64) -> Self {
        let incident = &call.incident;
        let place = incident.place;
        Self {
            incident_id: incident.id,
            vehicle_id: &incident.vehicle_id,
            lat: place.map(|place| place.lat),
            lon: place.map(|place| place.lon),
            position_time: place.map(|place| rfc3339(place.time_ms)),
            position_trusted: place.is_some_and(|place| place.trusted),
            received_at: rfc3339(incident.opened_ms),
            kind: incident.kind.map(vagn_wire::Kind::as_str),
            attempt: call.number,
            age_s: now_ms.saturating_sub(incident.raised_ms).max(0) as f64 / 1000.0,
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts can always be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emergency::candidate::Candidate;
    use crate::emergency::incident::Incident;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NOW_MS: i64 = 1_700_000_000_000;

    fn call() -> Call {
        let id = IncidentId::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
        Call { incident: Incident::open(id, &Candidate::example("bus 7")), number: 3, arrived: None }
    }

    fn target(url: &str, secret: &str) -> Result<Target, BadTarget> {
        Target::new(url, secret, Duration::from_secs(10), 4)
    }

    #[test]
    fn says_what_a_responder_needs() {
        let body = Payload::new(&call(), NOW_MS + 1_500).to_json();
        assert_eq!(
            String::from_utf8(body).unwrap(),
            concat!(
                r#"{"incident_id":"01900000-0000-7000-8000-000000000001","vehicle_id":"bus 7","lat":59.33,"lon":18.06,"#,
                r#""position_time":"2023-11-14T22:13:20.000Z","position_trusted":true,"#,
                r#""received_at":"2023-11-14T22:13:20.000Z","kind":null,"attempt":3,"age_s":1.5}"#
            )
        );
    }

    #[test]
    fn says_so_when_no_place_is_known() {
        let mut call = call();
        call.incident.place = None;
        let said: serde_json::Value = serde_json::from_slice(&Payload::new(&call, NOW_MS).to_json()).unwrap();
        assert!(said["lat"].is_null() && said["lon"].is_null() && said["position_time"].is_null());
        assert_eq!(said["position_trusted"], false);
    }

    #[test]
    fn carries_one_key_per_incident_and_signs_when_it_can() {
        let id = call().incident.id;
        let plain = target("http://127.0.0.1:1/x", "").unwrap().headers(id, NOW_MS, b"{}");
        assert_eq!(plain["idempotency-key"], id.to_string());
        assert!(!plain.contains_key("webhook-signature"));
        let signed = target("http://127.0.0.1:1/x", SECRET).unwrap().headers(id, NOW_MS, b"{}");
        assert_eq!(
            (&signed["webhook-id"], &signed["webhook-timestamp"]),
            (&plain["idempotency-key"], &"1700000000".parse().unwrap())
        );
        let signature = signed["webhook-signature"].to_str().unwrap();
        assert!(SECRET.parse::<Secret>().unwrap().verify(&id.to_string(), NOW_MS / 1000, b"{}", signature));
    }

    #[test]
    fn keeps_tokens_out_of_the_log() {
        let target = target("https://user:pass@dispatch.example:8443/hook/token", "").unwrap();
        assert_eq!(target.to_string(), "https://dispatch.example:8443");
    }

    #[test]
    fn refuses_what_cannot_be_called() {
        for url in ["", "dispatch.example", "ftp://dispatch.example/", "file:///etc/passwd"] {
            assert!(matches!(target(url, ""), Err(BadTarget::Url(_))), "{url}");
        }
        assert!(matches!(target("http://a/", "whsec_c2hvcnQ="), Err(BadTarget::Secret(_))));
    }
}
