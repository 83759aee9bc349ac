//! Reasons for which brokers were not taken, or did not take this node: told once, and again after a while.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::{Server, ServerAddr};
use tokio::time::Instant;
use tracing::warn;

/// Time after which the same is told again.
const AGAIN: Duration = Duration::from_mins(1);

/// The last error of each broker that was told, and the time.
#[derive(Debug, Default)]
pub(crate) struct Refusals(HashMap<ServerAddr, (String, Instant)>);

impl Refusals {
    /// Tells what is new of these brokers.
    pub(crate) fn tell(&mut self, servers: &[Server], now: Instant) {
        for server in servers {
            let Some(error) = server.last_error.as_deref() else { continue };
            if self.is_due(&server.addr, error, now) {
                warn!(broker = server.addr.as_url_str(), error, "{}", sentence(error));
            }
        }
    }

    fn is_due(&mut self, broker: &ServerAddr, error: &str, now: Instant) -> bool {
        let last = self.0.get(broker);
        let is_known = last.is_some_and(|(told, at)| told == error && now.duration_since(*at) < AGAIN);
        if !is_known {
            self.0.insert(broker.clone(), (error.to_owned(), now));
        }
        !is_known
    }
}

/// Returns the meaning of an error of the client to an operator. The client gives text alone.
pub(crate) fn sentence(error: &str) -> &'static str {
    let error = error.to_ascii_lowercase();
    if error.contains("unknownissuer") {
        "the broker is refused: its certificate is not signed by one that this node believes; set `cluster.ca` to the file of its authority"
    } else if error.contains("not valid for name") || error.contains("notvalidforname") {
        "the broker is refused: its certificate is for another name; write the address in `cluster.nats` as the certificate has it"
    } else if error.contains("invalid peer certificate") {
        "the broker is refused: its certificate is not valid"
    } else if error.contains("fatal alert") && (error.contains("certificate") || error.contains("unknownca"))
    {
        "the broker refuses this node: it wants a certificate that it believes; set `cluster.cert` and `cluster.key`"
    } else if error.contains("authorization violation") {
        "the broker refuses this node: it wants a user and a password, or others, in the addresses of `cluster.nats`"
    } else {
        "failed to connect to a broker"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_says_is_told_with_a_remedy() {
        let check = |error: &str, words: &str| assert!(sentence(error).contains(words), "{error}");
        check("IO error: invalid peer certificate: UnknownIssuer", "`cluster.ca`");
        check(
            "IO error: invalid peer certificate: certificate not valid for name \"a.example\"",
            "another name",
        );
        check("IO error: invalid peer certificate: Expired", "is not valid");
        for alert in ["UnknownCA", "CertificateRequired", "BadCertificate", "CertificateExpired"] {
            check(&format!("IO error: received fatal alert: {alert}"), "`cluster.cert`");
        }
        check("authorization violation: nats: authorization violation", "a user and a password");
        check("IO error: Connection refused (os error 111)", "failed to connect");
    }

    #[test]
    fn each_reason_is_told_once_a_minute() {
        let (mut refusals, began) = (Refusals::default(), Instant::now());
        let [one, two] = ["tls://a.example", "tls://b.example"].map(|text| text.parse().unwrap());
        let mut check = |broker: &ServerAddr, error: &str, after_s: u64, is_told: bool| {
            let now = began + Duration::from_secs(after_s);
            assert_eq!(refusals.is_due(broker, error, now), is_told, "{error} {after_s}");
        };
        check(&one, "away", 0, true);
        check(&two, "away", 0, true);
        check(&one, "away", 0, false);
        check(&one, "refused", 1, true);
        check(&one, "refused", 60, false);
        check(&one, "refused", 61, true);
    }
}
