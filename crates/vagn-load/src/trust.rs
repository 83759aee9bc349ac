//! Trust in a server that made its certificate itself.
//!
//! Vagn makes a certificate at the first start and keeps it in its data directory. On the same machine, a process that can
//! listen on the port can be trusted as much as the files. From another machine, use a copy of `cert.pem`.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use thiserror::Error as ThisError;

/// Servers that are believed.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Every server on this machine, and no other.
    Loopback,
    /// Servers that show one of these certificates, or one that they signed for the server's name.
    Certificates(Vec<CertificateDer<'static>>),
    /// Every server, without a check.
    Anyone,
}

/// Reason why a server cannot be believed.
#[derive(Debug, ThisError)]
pub enum TrustError {
    /// The file holds no certificate.
    #[error("cannot read a certificate from {0}")]
    File(String, #[source] rustls::pki_types::pem::Error),
    /// A certificate from the file cannot be used.
    #[error("cannot use the certificate")]
    Certificate(#[source] rustls::client::VerifierBuilderError),
    /// TLS cannot be set up.
    #[error("cannot set up tls")]
    Tls(#[from] Error),
    /// There is no reason to believe the server.
    #[error(
        "{0} is not on this machine: pass --ca with a copy of its cert.pem, or --insecure to believe anyone"
    )]
    Remote(String),
}

impl Trust {
    /// Reads the certificates in a PEM file, which are then believed.
    ///
    /// # Errors
    /// When it cannot be read or holds none.
    pub fn from_file(path: &Path) -> Result<Self, TrustError> {
        let named = |err| TrustError::File(path.display().to_string(), err);
        let certificates: Vec<_> =
            CertificateDer::pem_file_iter(path).map_err(named)?.collect::<Result<_, _>>().map_err(named)?;
        if certificates.is_empty() {
            return Err(named(rustls::pki_types::pem::Error::NoItemsFound));
        }
        Ok(Self::Certificates(certificates))
    }

    /// Makes the settings of a TLS connection to `address`.
    ///
    /// # Errors
    /// When the address is not believed or the certificates cannot be used.
    pub fn config(&self, address: std::net::SocketAddr) -> Result<Arc<ClientConfig>, TrustError> {
        if matches!(self, Self::Loopback) && !address.ip().to_canonical().is_loopback() {
            return Err(TrustError::Remote(address.to_string()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier { known: self.known(&provider)?, provider: provider.clone() };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Arc::new(config))
    }

    fn known(&self, provider: &Arc<CryptoProvider>) -> Result<Option<Known>, TrustError> {
        let Self::Certificates(certificates) = self else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        let signed = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone());
        let signed = signed.build().map_err(TrustError::Certificate)?;
        Ok(Some(Known { certificates: certificates.clone(), signed }))
    }
}

#[derive(Debug)]
struct Known {
    certificates: Vec<CertificateDer<'static>>,
    signed: Arc<WebPkiServerVerifier>,
}

/// Checks a certificate against the known ones, and always that the server holds its key.
#[derive(Debug)]
struct Verifier {
    known: Option<Known>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.known {
            Some(known) if !known.certificates.contains(certificate) => {
                known.signed.verify_server_cert(certificate, between, name, ocsp, now)
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
