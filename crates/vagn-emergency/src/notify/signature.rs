//! Signatures: the receiver of a notice can check that it came from here, unchanged and just now.
//!
//! The scheme is Standard Webhooks (<https://www.standardwebhooks.com>): HMAC-SHA256 over `id.timestamp.body`, sent as
//! `webhook-signature: v1,<base64>` beside `webhook-id` and `webhook-timestamp`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Key lengths that the scheme allows, in bytes.
const KEY_LEN: std::ops::RangeInclusive<usize> = 24..=64;

/// Secret that both sides know: `whsec_` and 24 to 64 bytes in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// The text is not a secret of the scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// Not base64 after `whsec_`.
    #[error("secret is not base64 after whsec_")]
    Base64,
    /// Too short to be safe, or longer than the scheme allows.
    #[error("secret has fewer than 24 or more than 64 bytes")]
    Length,
}

impl FromStr for Secret {
    type Err = BadSecret;

    fn from_str(text: &str) -> Result<Self, BadSecret> {
        let base64 = text.strip_prefix("whsec_").unwrap_or(text);
        let key = STANDARD.decode(base64).map_err(|_| BadSecret::Base64)?;
        if KEY_LEN.contains(&key.len()) { Ok(Self(key)) } else { Err(BadSecret::Length) }
    }
}

/// Shows nothing of the secret, so that it cannot get into logs.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// Returns the value of `webhook-signature` for the message `id`, sent at `timestamp_s` seconds since 1970.
    pub fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let sum = self.mac(id, timestamp_s, body).finalize().into_bytes();
        format!("v1,{}", STANDARD.encode(sum))
    }

    /// Returns true when one of the space-separated signatures in `header` fits the message.
    ///
    /// The age of `timestamp_s` is not checked: a receiver should refuse what is more than 5 minutes off.
    pub fn verify(&self, id: &str, timestamp_s: i64, body: &[u8], header: &str) -> bool {
        let mut offered = header.split(' ').filter_map(|part| part.strip_prefix("v1,"));
        offered.any(|sum| {
            let sum = STANDARD.decode(sum).unwrap_or_default();
            // In constant time, so that its duration tells nothing about the right sum.
            self.mac(id, timestamp_s, body).verify_slice(&sum).is_ok()
        })
    }

    fn mac(&self, id: &str, timestamp_s: i64, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the libraries of the scheme test themselves with.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn signs_as_the_scheme_says() {
        let secret: Secret = SECRET.parse().unwrap();
        assert_eq!(secret.sign(ID, 1_614_265_330, br#"{"test": 2432232314}"#), SIGNATURE);
    }

    #[test]
    fn a_change_anywhere_is_found() {
        let secret: Secret = SECRET.parse().unwrap();
        let check = |id, time, body: &str, header: &str, fits| {
            assert_eq!(secret.verify(id, time, body.as_bytes(), header), fits, "{id} {time} {body} {header}");
        };
        let body = r#"{"test": 2432232314}"#;
        let two = format!("v1a,other v1,AAAA {SIGNATURE}");
        check(ID, 1_614_265_330, body, SIGNATURE, true);
        check(ID, 1_614_265_330, body, &two, true);
        check("msg_other", 1_614_265_330, body, SIGNATURE, false);
        check(ID, 1_614_265_331, body, SIGNATURE, false);
        check(ID, 1_614_265_330, "{}", SIGNATURE, false);
        check(ID, 1_614_265_330, body, "v1,", false);
        check(ID, 1_614_265_330, body, "", false);
    }

    #[test]
    fn takes_only_secrets_that_are_long_enough() {
        let check = |text: &str, expected| assert_eq!(text.parse::<Secret>().map(|_| ()), expected, "{text}");
        check(SECRET, Ok(()));
        check(SECRET.trim_start_matches("whsec_"), Ok(()));
        check("whsec_?", Err(BadSecret::Base64));
        check("", Err(BadSecret::Length));
        check("whsec_c2hvcnQ=", Err(BadSecret::Length));
    }

    #[test]
    fn keeps_itself_out_of_logs() {
        let secret: Secret = SECRET.parse().unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
