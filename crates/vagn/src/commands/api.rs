//! The HTTPS API of a service: reads an incident, and passes on what a person requests.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use reqwest::{Client, RequestBuilder, StatusCode, Url, redirect};
use serde_json::Value;
use vagn_load::target::Target;
use vagn_load::trust::Trust;

use super::secret::TokenArgs;
use super::traffic::TrustArgs;

/// Longest wait for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Longest wait for the answer to a change, which comes when it is on disk.
const CHANGED_WITHIN: Duration = Duration::from_secs(20);

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
    /// The token is missing.
    #[error(
        "the api asks for a token: make one with `vagn token add`, and set VAGN_TOKEN to it, or name a file with it with --token-file"
    )]
    NoToken,
    /// The token is wrong.
    #[error(
        "the api refuses the token that was given: it is of another service, has expired or was revoked; `vagn token list` there shows those in force"
    )]
    WrongToken,
    /// An answer without an incident.
    #[error("the api answered with status {0}; does --api name the same service as --target?")]
    Status(StatusCode),
    /// The request is refused, for this reason.
    #[error("the api answered with status {0}: {1}")]
    Refused(StatusCode, String),
    /// An answer that is not JSON.
    #[error("the answer of the api is not json; is it the api of vagn?")]
    Garbled(#[source] serde_json::Error),
}

/// Flags that say which API is asked, and as whom.
#[derive(Debug, Args)]
pub(super) struct ApiArgs {
    /// API of the service.
    #[arg(long = "api", value_name = "URL", default_value = "https://localhost:9090")]
    pub(super) url: ApiUrl,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    trust: TrustArgs,
}

impl ApiArgs {
    /// Prepares requests to the API.
    ///
    /// # Errors
    /// When a file of the flags cannot be read, or as [`Api::new`].
    pub(super) fn api(&self) -> anyhow::Result<Api> {
        Api::new(&self.url, self.token.token()?, &self.trust()?)
    }

    /// Returns the trust in servers.
    ///
    /// # Errors
    /// When the certificate cannot be read.
    pub(super) fn trust(&self) -> anyhow::Result<Trust> {
        self.trust.trust()
    }
}

impl Api {
    /// Prepares requests to `url`.
    ///
    /// # Errors
    /// When the address is unknown, or `trust` does not cover it.
    pub(super) fn new(url: &ApiUrl, token: Option<String>, trust: &Trust) -> anyhow::Result<Self> {
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
        Ok(Self { client, url: url.clone(), token })
    }

    pub(super) async fn incident(&self, id: &str) -> Result<Value, ApiError> {
        let (status, body) = self.ask(self.client.get(format!("{}/api/v1/incidents/{id}", self.url))).await?;
        if status != StatusCode::OK {
            return Err(ApiError::Status(status));
        }
        serde_json::from_slice(&body).map_err(ApiError::Garbled)
    }

    /// Posts this body, and returns that of the answer.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let ask = self.client.post(format!("{}{path}", self.url)).timeout(CHANGED_WITHIN).json(body);
        let (status, body) = self.ask(ask).await?;
        let answer: Value = serde_json::from_slice(&body).map_err(ApiError::Garbled)?;
        if status != StatusCode::OK {
            return Err(ApiError::Refused(status, answer["detail"].as_str().unwrap_or_default().to_owned()));
        }
        Ok(answer)
    }

    async fn ask(&self, mut ask: RequestBuilder) -> Result<(StatusCode, Vec<u8>), ApiError> {
        if let Some(token) = &self.token {
            ask = ask.bearer_auth(token);
        }
        let answer = ask.send().await.map_err(ApiError::Unreachable)?;
        match answer.status() {
            StatusCode::UNAUTHORIZED if self.token.is_some() => Err(ApiError::WrongToken),
            StatusCode::UNAUTHORIZED => Err(ApiError::NoToken),
            status => Ok((status, answer.bytes().await.map_err(ApiError::Unreachable)?.into())),
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
