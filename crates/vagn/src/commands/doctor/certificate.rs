//! The certificate of an operator: without one that can be used the service does not start, and after its end no client connects.

use vagn_flow::rfc3339::rfc3339;
use vagn_http::tls::Identity;

use super::finding::Finding;
use crate::app::certificates::ends_soon;
use crate::config::HttpSettings;

/// Looks at the certificate of the settings, if one is set. The service renews its own.
pub(super) fn check(http: &HttpSettings, now_ms: i64) -> Vec<Finding> {
    if http.cert.as_os_str().is_empty() {
        return Vec::new();
    }
    let named = format!("certificate {}", http.cert.display());
    let loaded = Identity::load(&http.cert, &http.key).and_then(|it| it.server_config(&[]).map(|_| it));
    let finding = match loaded.map(|identity| identity.validity()) {
        Err(err) => {
            let remedy =
                "name PEM files that the service's user may read with http.cert and http.key, or set neither";
            Finding::fail(format!("{named}: {:#}", anyhow::Error::new(err)), remedy)
        }
        Ok(Some(validity)) if ends_soon(validity.ends_ms, now_ms) => {
            let remedy = "put a new one in its place, and reload the service (SIGHUP)";
            Finding::warn(format!("{named}: ends at {}", rfc3339(validity.ends_ms)), remedy)
        }
        Ok(Some(validity)) => Finding::ok(format!("{named}: ends at {}", rfc3339(validity.ends_ms))),
        Ok(None) => Finding::warn(
            format!("{named}: its end cannot be read"),
            "look at it with `openssl x509 -enddate`",
        ),
    };
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;
    use vagn_http::own_certificate::{Wanted, of_data_dir};

    #[test]
    fn a_certificate_that_is_set_must_be_one_and_not_near_its_end() {
        const DAY_MS: i64 = 24 * 3_600_000;
        let dir = tempfile::tempdir().unwrap();
        let mut http = HttpSettings::default();
        assert_eq!(check(&http, 0), []);
        (http.cert, http.key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        assert_eq!(check(&http, 0)[0].level(), Level::Fail);
        let now_ms = 1_795_860_000_000;
        of_data_dir(dir.path(), &Wanted { names: Vec::new(), now_ms }).unwrap();
        assert_eq!(check(&http, now_ms)[0].level(), Level::Ok);
        assert_eq!(check(&http, now_ms + 390 * DAY_MS)[0].level(), Level::Warn);
    }
}
