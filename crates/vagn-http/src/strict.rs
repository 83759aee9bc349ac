//! Headers on every answer of every port, by which a browser makes nothing of it but what it is.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// The headers and their values, for answers that do not say otherwise.
const HEADERS: [(HeaderName, &str); 6] = [
    // What is no page loads, runs and frames nothing; the pages have a policy of their own.
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    // Ids of vehicles come from outside: an answer with markup in an id must not be taken for a page.
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // The address may hold a place, a vehicle, or the secret of a share.
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // Pages of origins that are let in ask by the rules for that, to which this one does not apply.
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Adds what an answer does not have.
pub(crate) fn add(headers: &mut HeaderMap) {
    for (name, value) in &HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Returns the same as lines of HTTP/1.1.
pub(crate) fn lines() -> String {
    HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_its_own_stays() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'self'"));
        add(&mut headers);
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], "default-src 'self'");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers.len(), HEADERS.len());
    }
}
