//! Certificates for the brokers: by which they are believed, and by which they know this node.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, client::WantsClientCert};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::config::ClusterSettings;

/// Reason why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadTls {
    /// A file cannot be read, or has nothing of the kind.
    #[error("`cluster.{key}` {}", path.display())]
    File {
        /// Name of the setting.
        key: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Reason.
        source: pem::Error,
    },
    /// The certificates do not do.
    #[error("`cluster.{key}`")]
    Unfit {
        /// Name of the setting.
        key: &'static str,
        /// Reason.
        source: rustls::Error,
    },
}

/// Returns what speaks TLS to the brokers.
///
/// # Errors
/// Names the setting whose file cannot be used.
pub fn tls(settings: &ClusterSettings) -> Result<ClientConfig, BadTls> {
    let of = |key| move |source| BadTls::Unfit { key, source };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(of("nats"))?;
    let config = believing(config, &settings.ca)?;
    if settings.cert.as_os_str().is_empty() {
        return Ok(config.with_no_client_auth());
    }
    let (chain, key) = (certificates("cert", &settings.cert)?, private_key(&settings.key)?);
    config.with_client_auth_cert(chain, key).map_err(of("cert"))
}

fn believing(
    config: ConfigBuilder<ClientConfig, WantsVerifier>,
    ca: &Path,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, BadTls> {
    let unfit = |source| BadTls::Unfit { key: "ca", source };
    if ca.as_os_str().is_empty() {
        return config.with_platform_verifier().map_err(unfit);
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca", ca)? {
        roots.add(certificate).map_err(unfit)?;
    }
    Ok(config.with_root_certificates(roots))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, BadTls> {
    let failed = |source| BadTls::File { key, path: path.into(), source };
    let read: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if read.is_empty() { Err(failed(pem::Error::NoItemsFound)) } else { Ok(read) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, BadTls> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| BadTls::File {
        key: "key",
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_its_setting() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("text.pem");
        std::fs::write(&text, "no certificate").unwrap();
        let missing = dir.path().join("missing.pem");
        let refused = |change: &dyn Fn(&mut ClusterSettings)| {
            let mut settings = ClusterSettings::default();
            change(&mut settings);
            tls(&settings).map(drop).unwrap_err().to_string()
        };
        for path in [&text, &missing] {
            let said = refused(&|settings| settings.ca = path.clone());
            assert!(said.contains("`cluster.ca`") && said.contains(".pem"), "{said}");
            let said = refused(&|settings| {
                settings.cert = path.clone();
                settings.key = path.clone();
            });
            assert!(said.contains("`cluster.cert`"), "{said}");
        }
        assert!(tls(&ClusterSettings::default()).is_ok(), "the machine's certificates do");
    }
}
