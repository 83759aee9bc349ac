//! The content security policy of the pages: a browser loads, runs and asks only what this server sends, and what the setting
//! `map.style_url` has it load.

use axum::http::HeaderValue;

/// Policy of the files that pages load. A worker obeys that of its own script and not that of its page; the one of the map asks for
/// tiles. A cache keeps the script for good, over changes of `map.style_url`, so this names no server.
pub(crate) const OF_ASSETS: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; connect-src *; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Makes the policy. `origin` is that of a map style on another server.
///
/// Pictures may stand in a style sheet (`data:`): the buttons of the map do.
pub(crate) fn make(origin: Option<&str>) -> HeaderValue {
    let beside = origin.map_or(String::new(), |origin| format!(" {origin}"));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; worker-src 'self'; media-src 'self'; \
         connect-src 'self'{beside}; img-src 'self' data:{beside}; font-src 'self'{beside}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("an origin is made of letters, digits and a few signs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_no_other_server_unless_a_style_does() {
        let own = make(None);
        assert!(!own.to_str().unwrap().contains("http"), "{own:?}");
        let policy = make(Some("https://maps.example"));
        for directive in policy.to_str().unwrap().split("; ") {
            let (name, sources) = directive.split_once(' ').unwrap();
            let may = ["connect-src", "img-src", "font-src"].contains(&name);
            assert_eq!(sources.contains(" https://maps.example"), may, "{directive}");
        }
    }
}
