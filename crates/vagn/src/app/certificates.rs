//! The certificate of the TCP door and the API while the service runs: its own is renewed, and an operator is told before the end of
//! theirs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tracing::{info, warn};
use vagn_flow::readiness::Readiness;
use vagn_flow::rfc3339::rfc3339;
use vagn_flow::trust::Trust;
use vagn_http::own_certificate::{self, Wanted};
use vagn_http::tls::{Identity, TlsError};
use vagn_otp::ChildSpec;

use crate::config::{HttpSettings, Settings};

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// Pause between two signs of life.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// Time before the end of an operator's certificate from which on it is warned of, ms: 14 days.
pub(crate) const WARN_BEFORE_MS: i64 = 14 * 24 * 3_600_000;

/// Name of the warning.
const CERTIFICATE: &str = "certificate";

/// What is served, and what it is made of.
pub(super) struct Certificates {
    pub(super) identity: Arc<Identity>,
    pub(super) data_dir: PathBuf,
    pub(super) settings: RwLock<HttpSettings>,
    pub(super) readiness: Arc<Readiness>,
}

impl Certificates {
    /// Loads the certificate of these settings, and serves it from here on. Returns false when it is the same.
    pub(super) fn reload(&self, settings: &HttpSettings, now_ms: i64) -> Result<bool, TlsError> {
        let is_new = self.identity.replace(&load(settings, &self.data_dir, now_ms)?)?;
        *self.settings.write() = settings.clone();
        Ok(is_new)
    }

    /// Renews a certificate of the service's own, or warns of the end of another one. The time must be one that can be believed.
    pub(super) fn look(&self, now_ms: i64) {
        let settings = self.settings.read().clone();
        if !is_own(&settings) {
            return self.warn_of_end(now_ms);
        }
        match own_certificate::renew(&self.data_dir, &wanted(&settings, now_ms)) {
            Ok(None) => self.readiness.clear(CERTIFICATE),
            Ok(Some(renewed)) => self.serve(&renewed),
            Err(err) => self.tell(format!("it cannot be renewed: {:#}", anyhow::Error::new(err))),
        }
    }

    fn serve(&self, renewed: &Identity) {
        match self.identity.replace(renewed) {
            Ok(_) => {
                let ends = renewed.validity().map(|validity| rfc3339(validity.ends_ms));
                info!(
                    ?ends,
                    "the own certificate was renewed with the same key; give it to the clients that trust the old one"
                );
                self.readiness.clear(CERTIFICATE);
            }
            Err(err) => self.tell(format!("the renewed one cannot be served: {:#}", anyhow::Error::new(err))),
        }
    }

    fn warn_of_end(&self, now_ms: i64) {
        match self.identity.validity() {
            Some(validity) if ends_soon(validity.ends_ms, now_ms) => {
                self.tell(format!(
                    "`http.cert` ends at {}; put a new one in its place, and reload (SIGHUP)",
                    rfc3339(validity.ends_ms)
                ));
            }
            _ => self.readiness.clear(CERTIFICATE),
        }
    }

    fn tell(&self, what: String) {
        if self.readiness.warn_first(CERTIFICATE, what.clone()) {
            warn!("the certificate: {what}");
        }
    }
}

/// Tells if an operator should see to the end of a certificate.
pub(crate) fn ends_soon(ends_ms: i64, now_ms: i64) -> bool {
    ends_ms.saturating_sub(now_ms) < WARN_BEFORE_MS
}

/// Loads the certificate of the settings, or the own one of the data directory.
pub(super) fn load(settings: &HttpSettings, data_dir: &Path, now_ms: i64) -> Result<Identity, TlsError> {
    let identity = match is_own(settings) {
        true => own_certificate::of_data_dir(data_dir, &wanted(settings, now_ms))?,
        false => Identity::load(&settings.cert, &settings.key)?,
    };
    identity.server_config(&[])?;
    Ok(identity)
}

pub(super) fn is_own(settings: &HttpSettings) -> bool {
    settings.cert.as_os_str().is_empty()
}

fn wanted(settings: &HttpSettings, now_ms: i64) -> Wanted {
    let public = settings.public_host().map(str::to_owned);
    Wanted { names: settings.names.iter().cloned().chain(public).collect(), now_ms }
}

/// Returns the child that looks after it.
pub(super) fn child(certificates: Arc<Certificates>, trust: Arc<Trust>, settings: &Settings) -> ChildSpec {
    let looks = ChildSpec::thread("certificates", move |ctx| {
        ctx.ready();
        let mut left = Duration::ZERO;
        while !ctx.sleep(BEAT_EVERY) {
            ctx.beat();
            left = left.saturating_sub(BEAT_EVERY);
            // A clock that is doubted would renew what need not be, or worse.
            if left.is_zero()
                && let Some(believed) = trust.now()
            {
                certificates.look(believed.now_ms);
                left = LOOK_EVERY;
            }
        }
        Ok(())
    });
    looks.watchdog(settings.hang_limit.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 3_600_000;
    const NOW_MS: i64 = 1_795_860_000_000;

    fn certificates(dir: &Path, settings: HttpSettings) -> Certificates {
        Certificates {
            identity: Arc::new(load(&settings, dir, NOW_MS).unwrap()),
            data_dir: dir.to_owned(),
            settings: RwLock::new(settings),
            readiness: Arc::new(Readiness::default()),
        }
    }

    fn warning(certificates: &Certificates) -> Option<String> {
        certificates.readiness.report().warnings.get(CERTIFICATE).cloned()
    }

    #[test]
    fn an_own_certificate_is_renewed_while_it_is_served() {
        let dir = tempfile::tempdir().unwrap();
        let own = certificates(dir.path(), HttpSettings::default());
        let ends = || own.identity.validity().unwrap().ends_ms;
        let first = ends();
        own.look(NOW_MS + 300 * DAY_MS);
        assert_eq!(ends(), first);
        own.look(NOW_MS + 380 * DAY_MS);
        assert!(ends() > first);
        assert_eq!(warning(&own), None);
    }

    #[test]
    fn the_end_of_an_operators_certificate_is_warned_of_and_a_new_one_is_served_when_it_is_reloaded() {
        let (of, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let make = |days: i64| {
            std::fs::remove_file(of.path().join("cert.pem")).ok();
            load(&HttpSettings::default(), of.path(), NOW_MS + days * DAY_MS).unwrap()
        };
        make(0);
        let settings = HttpSettings {
            cert: of.path().join("cert.pem"),
            key: of.path().join("key.pem"),
            ..HttpSettings::default()
        };
        let theirs = certificates(dir.path(), settings.clone());
        theirs.look(NOW_MS);
        assert_eq!(warning(&theirs), None);
        theirs.look(NOW_MS + 390 * DAY_MS);
        assert!(warning(&theirs).unwrap().contains("http.cert"));
        make(390);
        assert!(theirs.reload(&settings, NOW_MS + 390 * DAY_MS).unwrap(), "it is another one");
        theirs.look(NOW_MS + 390 * DAY_MS);
        assert_eq!(warning(&theirs), None);
        std::fs::write(of.path().join("cert.pem"), "no certificate").unwrap();
        let before = theirs.identity.validity();
        assert!(theirs.reload(&settings, NOW_MS + 390 * DAY_MS).is_err());
        assert_eq!(theirs.identity.validity(), before, "what was served is served on");
    }
}
