//! Reads an incident over the HTTPS API.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, StatusCode, Url, redirect};
use serde_json::Value;
use vagn_load::target::Target;
use vagn_load::trust::Trust;

/// Longest wait for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Address of an API, such as `https://localhost:9090`.
#[derive(Debug, Clone)]
pub(super) struct ApiUrl(Url);

impl FromStr for ApiUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<Url>() {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Self(url)),
            _ => Err(format!("{text:?} is not the address of an API, such as https://localhost:9090")),
        }
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// The API of one service.
pub(super) struct Api {
    client: Client,
    url: ApiUrl,
    token: Option<String>,
}

/// Reason why the API gave no incident.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// No answer, or not in time.
    #[error("cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The token is missing or wrong.
    #[error("the api asks for a token: give --token with one of its http.tokens")]
    Token,
    /// An answer without an incident.
    #[error("the api answered with status {0}; does --api name the same service as --target?")]
    Status(StatusCode),
    /// An answer that is not JSON.
    #[error("the answer of the api is not json; is it the api of vagn?")]
    Garbled(#[source] serde_json::Error),
}

impl Api {
    /// Prepares requests to `url`.
    ///
    /// # Errors
    /// When the address is unknown, or `trust` does not cover it.
    pub(super) fn new(url: &ApiUrl, token: Option<&str>, trust: &Trust) -> anyhow::Result<Self> {
        let host = url.0.host_str().unwrap_or_default();
        let port = url.0.port_or_known_default().unwrap_or_default();
        let addresses = format!("{host}:{port}").parse::<Target>()?.addresses()?;
        // Without TLS there is no certificate to check.
        let trust = if url.0.scheme() == "https" { trust } else { &Trust::Anyone };
        // Every address must be covered; the configurations are the same, so any of them will do.
        let configs: Result<Vec<_>, _> = addresses.iter().map(|address| trust.config(*address)).collect();
        let config = configs?.swap_remove(0);
        let client = Client::builder()
            .tls_backend_preconfigured((*config).clone())
            .resolve_to_addrs(host, &addresses)
            .redirect(redirect::Policy::none())
            .timeout(ANSWER_WITHIN)
            .no_proxy()
            .build()
            .context("set up https")?;
        Ok(Self { client, url: url.clone(), token: token.map(str::to_owned) })
    }

    pub(super) async fn incident(&self, id: &str) -> Result<Value, ApiError> {
        let mut ask = self.client.get(format!("{}/api/v1/incidents/{id}", self.url));
        if let Some(token) = &self.token {
            ask = ask.bearer_auth(token);
        }
        let answer = ask.send().await.map_err(ApiError::Unreachable)?;
        match answer.status() {
            StatusCode::OK => {
                let body = answer.bytes().await.map_err(ApiError::Unreachable)?;
                serde_json::from_slice(&body).map_err(ApiError::Garbled)
            }
            StatusCode::UNAUTHORIZED => Err(ApiError::Token),
            status => Err(ApiError::Status(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_address_of_an_api() {
        for (text, shown) in [
            ("https://localhost:9090", "https://localhost:9090"),
            ("https://vagn.example/", "https://vagn.example"),
            ("http://[::1]:80/behind/a/proxy/", "http://[::1]/behind/a/proxy"),
        ] {
            assert_eq!(text.parse::<ApiUrl>().unwrap().to_string(), shown);
        }
        for wrong in ["", "localhost:9090", "ftp://localhost", "https://"] {
            assert!(wrong.parse::<ApiUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn refuses_a_service_on_another_machine_unless_it_is_trusted() {
        let url: ApiUrl = "https://192.0.2.1:9090".parse().unwrap();
        let refused = Api::new(&url, None, &Trust::Loopback).err().unwrap().to_string();
        assert!(refused.contains("not on this machine"), "{refused}");
        assert!(Api::new(&url, None, &Trust::Anyone).is_ok());
    }
}
