//! Reloading on SIGHUP: the settings are read again, and what can be changed while the service runs is.
//!
//! What is in the registry (devices, tokens, shares) applies at once and is not reloaded here.

use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use toml::{Table, Value};
use tracing::{info, warn};
use vagn_flow::trust::Trust;
use vagn_http::credentials::Credentials;
use vagn_registry::Registry;

use super::certificates::{Certificates, is_own};
use crate::config::{ConfigError, Loaded, Settings};
use crate::logging;

/// Reads the settings as at the start: the same flags and environment, and the file as it is now.
pub type ReadSettings = Arc<dyn Fn() -> Result<Loaded, ConfigError> + Send + Sync>;

/// Settings that are changed while the service runs.
const RELOADED: [&str; 6] =
    ["log.level", "http.cert", "http.key", "http.names", "http.public_url", "http.tokens"];

/// The parts that take new settings.
pub(super) struct Reloader {
    pub(super) read: ReadSettings,
    /// Settings in force.
    pub(super) settings: Mutex<Settings>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) credentials: Credentials,
    pub(super) registry: Registry,
    pub(super) trust: Arc<Trust>,
}

impl Reloader {
    /// Reads the settings again, and puts in force what can be. Returns a word on it for the service manager. Blocks on the disk.
    pub(super) fn reload(&self) -> &'static str {
        let loaded = match (self.read)() {
            Ok(loaded) => loaded,
            Err(err) => {
                warn!("the settings are not reloaded, and all stays as it is: {:#}", anyhow::Error::new(err));
                return "ready; the settings could not be reloaded";
            }
        };
        loaded.cautions.iter().for_each(|caution| warn!("{caution}"));
        let mut settings = self.settings.lock();
        let (mut now, new) = (settings.clone(), loaded.settings);
        // Also where no setting has changed: the files may have.
        let certificate = self.certificates.reload(&new.http, self.trust.believed().now_ms);
        // Renewed on the word of a clock in doubt, it could be one that has ended; it is looked at again within the hour.
        if let Some(believed) = self.trust.now() {
            self.certificates.look(believed.now_ms);
        }
        match &certificate {
            Ok(true) => info!("another certificate is served from here on"),
            Ok(false) => {}
            Err(err) => {
                warn!(error = %err, "the certificate is not reloaded, and the one before is served on")
            }
        }
        if certificate.is_ok() {
            let http = &mut now.http;
            (http.cert, http.key) = (new.http.cert.clone(), new.http.key.clone());
            (http.names, http.public_url) = (new.http.names.clone(), new.http.public_url.clone());
        }
        if now.http.tokens != new.http.tokens {
            self.take_tokens(&new.http.tokens);
            now.http.tokens = new.http.tokens.clone();
        }
        if now.log.level != new.log.level {
            logging::set_level(new.log.level);
            now.log.level = new.log.level;
        }
        let changed = differing(&settings, &new);
        let kept: Vec<_> = changed.iter().filter(|key| !RELOADED.contains(&key.as_str())).collect();
        let is_applied =
            |key: &&String| RELOADED.contains(&key.as_str()) && (certificate.is_ok() || !of_certificate(key));
        let applied: Vec<_> = changed.iter().filter(is_applied).collect();
        info!(changed = list(&applied), "settings are reloaded");
        if applied.iter().any(|key| matches!(key.as_str(), "http.names" | "http.public_url")) {
            let waits =
                "links, `Host` and `Origin` are judged by the old names until a restart of the service";
            match is_own(&now.http) {
                true => warn!("the certificate has the new names; {waits}"),
                false => warn!("{waits}"),
            }
        }
        if !kept.is_empty() {
            let kept = list(&kept);
            warn!(kept, "these settings have changed and apply only after a restart of the service");
        }
        *settings = now;
        if certificate.is_ok() { "ready" } else { "ready; the certificate could not be reloaded" }
    }

    /// Lets in by these tokens alone. One that is missing here opens nothing any more, and its sessions and streams end.
    fn take_tokens(&self, tokens: &[String]) {
        self.credentials.set_of_settings(tokens);
        if tokens.is_empty() {
            return;
        }
        if let Err(err) = self.registry.close() {
            warn!(error = %err, "failed to note that the api asks for tokens: it would be open after a restart without them");
        }
    }
}

/// Tells if a setting applies by a certificate.
fn of_certificate(key: &str) -> bool {
    matches!(key, "http.cert" | "http.key" | "http.names" | "http.public_url")
}

fn list(keys: &[&String]) -> String {
    keys.iter().fold(String::new(), |mut text, key| {
        let comma = if text.is_empty() { "" } else { ", " };
        write!(text, "{comma}{key}").expect("a string takes all that is written");
        text
    })
}

/// Returns the keys whose values differ, with dots.
fn differing(one: &Settings, other: &Settings) -> Vec<String> {
    let table = |settings: &Settings| Table::try_from(settings).unwrap_or_default();
    let mut keys = Vec::new();
    compare("", &table(one), &table(other), &mut keys);
    keys
}

fn compare(prefix: &str, one: &Table, other: &Table, keys: &mut Vec<String>) {
    let names: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
    for name in names {
        let key = format!("{prefix}{name}");
        match (one.get(name), other.get(name)) {
            (Some(Value::Table(one)), Some(Value::Table(other))) => {
                compare(&format!("{key}."), one, other, keys);
            }
            (one, other) if one != other => keys.push(key),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use parking_lot::RwLock;
    use vagn_flow::clock::{Believed, Clock, ManualClock};
    use vagn_flow::metrics::MetricRegistry;
    use vagn_flow::trust::TrustParts;
    use vagn_http::credentials::CredentialParts;

    use super::super::certificates;
    use super::*;
    use crate::config::{HttpSettings, LogLevel, Span};
    use crate::logging::HeardLog;

    const NOW_MS: i64 = 1_795_860_000_000;

    /// A service without settings that serves a certificate of its own, made at [`NOW_MS`], and the settings that it finds next.
    struct Running {
        reloader: Reloader,
        found: Arc<Mutex<Settings>>,
        _dir: tempfile::TempDir,
    }

    impl Running {
        /// An earlier run has left the time [`NOW_MS`].
        fn start(clock: Arc<dyn Clock>) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let found = Arc::<Mutex<Settings>>::default();
            let settings = found.clone();
            let read = move || {
                let settings = settings.lock().clone();
                Ok(Loaded { settings, foreign: Vec::new(), cautions: Vec::new() })
            };
            let http = HttpSettings::default();
            let certificates = Certificates {
                identity: Arc::new(certificates::load(&http, dir.path(), NOW_MS).unwrap()),
                data_dir: dir.path().to_owned(),
                settings: RwLock::new(http),
                readiness: Arc::default(),
            };
            let registry = Registry::open(dir.path(), None).unwrap();
            let credentials = Credentials::new(CredentialParts {
                clock: clock.clone(),
                registry: Some(registry.clone()),
                of_settings: Vec::new(),
                is_open_to_all: false,
                trust: None,
                guard: None,
            });
            let trust = Trust::new(TrustParts {
                clock,
                marked: Some(Believed { now_ms: NOW_MS, since_ms: NOW_MS }),
                partitions: 0,
                forget_after: std::time::Duration::from_secs(3_600),
                kernel: false,
                readiness: Arc::default(),
                registry: MetricRegistry::new(),
            });
            let reloader = Reloader {
                read: Arc::new(read),
                settings: Mutex::default(),
                certificates: Arc::new(certificates),
                credentials,
                registry,
                trust,
            };
            Self { reloader, found, _dir: dir }
        }

        /// Reloads with other settings of `[http]`. Returns the word for the service manager, and the log.
        fn reload(&self, http: HttpSettings) -> (&'static str, String) {
            self.found.lock().http = http;
            let log = HeardLog::begin();
            (self.reloader.reload(), log.take())
        }

        fn ends_ms(&self) -> i64 {
            self.reloader.certificates.identity.validity().unwrap().ends_ms
        }
    }

    fn of(dir: &Path, names: &[&str]) -> HttpSettings {
        let names = names.iter().map(|name| (*name).into()).collect();
        HttpSettings {
            cert: dir.join("cert.pem"),
            key: dir.join("key.pem"),
            names,
            ..HttpSettings::default()
        }
    }

    fn own(names: &[&str]) -> HttpSettings {
        HttpSettings { cert: "".into(), key: "".into(), ..of(Path::new(""), names) }
    }

    #[test]
    fn settings_whose_certificate_fails_do_not_apply_and_are_not_told_to() {
        let running = Running::start(Arc::new(ManualClock::at(NOW_MS)));
        let (word, log) = running.reload(of(Path::new("/nowhere"), &["fleet.example"]));
        assert_eq!(word, "ready; the certificate could not be reloaded");
        assert!(
            log.contains(r#"settings are reloaded changed="""#) && !log.contains("the new names"),
            "{log}"
        );
        assert!(running.reloader.settings.lock().http.names.is_empty());
        let (word, log) = running.reload(own(&["fleet.example"]));
        assert_eq!(word, "ready");
        assert!(log.contains(r#"settings are reloaded changed="http.names""#), "{log}");
        assert_eq!(running.reloader.settings.lock().http.names.len(), 1);
    }

    #[test]
    fn only_a_certificate_of_its_own_has_new_names_at_once_and_what_else_goes_by_them_waits() {
        let running = Running::start(Arc::new(ManualClock::at(NOW_MS)));
        let says = |http| {
            let log = running.reload(http).1;
            ["the certificate has the new names", "are judged by the old names"]
                .map(|what| log.contains(what))
        };
        assert_eq!(says(own(&["fleet.example"])), [true, true]);
        assert_eq!(says(own(&["fleet.example"])), [false, false], "nothing is new");
        let theirs = tempfile::tempdir().unwrap();
        certificates::load(&HttpSettings::default(), theirs.path(), NOW_MS).unwrap();
        assert_eq!(says(of(theirs.path(), &["other.example"])), [false, true]);
    }

    #[test]
    fn a_clock_in_doubt_makes_no_certificate_of_its_time() {
        const YEAR_MS: i64 = 365 * 24 * 3_600_000;
        let running = Running::start(Arc::new(ManualClock::at(NOW_MS + 5 * YEAR_MS)));
        let before = running.ends_ms();
        assert!(running.reload(own(&["fleet.example"])).1.contains("another certificate is served"));
        assert_eq!(running.ends_ms(), before);
    }

    #[test]
    fn names_each_setting_that_differs() {
        let one = Settings::default();
        let mut other = one.clone();
        other.history.keep = Span::seconds(60);
        other.log.level = LogLevel::Debug;
        other.http.tokens = vec!["a secret of sixteen".into()];
        let named = differing(&one, &other);
        assert_eq!(named, ["history.keep", "http.tokens", "log.level"]);
        assert!(differing(&one, &one).is_empty());
    }
}
