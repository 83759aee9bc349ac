//! Connector: makes the connections to one target, with TLS or without.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use crate::notify::metered::Metered;

type BoxError = Box<dyn Error + Send + Sync>;

/// Bytes both ways, encrypted or not.
pub(super) trait TargetBytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> TargetBytes for S {}

/// A connection to a target.
pub(super) type TargetStream = Metered<TokioIo<Box<dyn TargetBytes>>>;

/// Makes connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    tls: Option<TlsConnector>,
    within: Duration,
}

impl Connector {
    /// Returns a connector that gives up after `within`.
    ///
    /// # Errors
    /// When the system's certificates cannot be read, which `is_tls` needs.
    pub(super) fn new(is_tls: bool, within: Duration) -> Result<Self, rustls::Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(within));
        let tls = is_tls.then(|| tls_config().map(TlsConnector::from)).transpose()?;
        Ok(Self { tcp, tls, within })
    }
}

/// Trusts what the system trusts.
fn tls_config() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_platform_verifier()?.with_no_client_auth()))
}

impl Service<Uri> for Connector {
    type Response = TargetStream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<TargetStream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let host = to.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let connecting = self.tcp.call(to);
        let (tls, within) = (self.tls.clone(), self.within);
        Box::pin(async move {
            let connected = timeout(within, async {
                let stream = connecting.await?.into_inner();
                Ok::<Box<dyn TargetBytes>, BoxError>(match tls {
                    Some(tls) => Box::new(tls.connect(ServerName::try_from(host)?, stream).await?),
                    None => Box::new(stream),
                })
            });
            let stream = connected.await.map_err(|_| "no connection in time")??;
            Ok(Metered::new(TokioIo::new(stream)))
        })
    }
}
