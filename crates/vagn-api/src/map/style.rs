//! The address of a map style: on another server over HTTPS, or a path on this one.

/// A checked address of a map style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StyleUrl {
    text: String,
    /// Length of scheme, host and port at the begin of `text`; 0 for a path.
    origin_len: usize,
}

/// Reason why a text is no address of a map style.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an address such as https://maps.example/style.json, or a path on the same server such as /maps/style.json"
)]
pub struct BadStyleUrl;

const SCHEME: &str = "https://";

impl StyleUrl {
    /// Accepts an address with `https`, since browsers refuse a page over HTTPS that loads from elsewhere without; or a path.
    ///
    /// # Errors
    /// The text is neither.
    pub fn parse(text: &str) -> Result<Self, BadStyleUrl> {
        // A browser reads a backslash as a slash, and so `/\host` as another server.
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(BadStyleUrl);
        }
        if let Some(rest) = text.strip_prefix(SCHEME) {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let origin_len = SCHEME.len() + host.len();
            return is_host(host).then(|| Self { text: text.to_owned(), origin_len }).ok_or(BadStyleUrl);
        }
        let is_path = text.starts_with('/') && !text.starts_with("//");
        is_path.then(|| Self { text: text.to_owned(), origin_len: 0 }).ok_or(BadStyleUrl)
    }

    /// Returns the whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns scheme, host and port of another server; None for this one.
    pub(crate) fn origin(&self) -> Option<&str> {
        Some(&self.text[..self.origin_len]).filter(|origin| !origin.is_empty())
    }
}

/// Tells if `text` is a host with or without a port, and without a name of a user. It goes into the policy of the pages, where
/// a semicolon would begin a rule of its own.
fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "443"));
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    host.bytes().all(is_fine)
        && host.starts_with(|first: char| first.is_ascii_alphanumeric())
        && is_number
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_another_server_or_a_path_on_this_one() {
        for (text, origin) in [
            ("https://maps.example/style.json?key=a%20b#x", Some("https://maps.example")),
            ("https://maps.example", Some("https://maps.example")),
            ("https://10.0.0.7:8443/style", Some("https://10.0.0.7:8443")),
            ("/maps/style.json", None),
        ] {
            assert_eq!(StyleUrl::parse(text).unwrap().origin(), origin, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "style.json",
            "http://maps.example/style.json",
            "https://",
            "https:///style.json",
            "https://maps.example:/style",
            "https://maps.example:99999/style",
            "https://maps.example:80:80/style",
            // A policy cannot name such a host.
            "https://[::1]:8443/style",
            "https://Maps.example/",
            "https://user@maps.example/",
            "https://maps.example;script-src/style",
            "https://*/style",
            "//maps.example/style.json",
            "/\\maps.example/style.json",
            "/a style",
            "data:application/json,{}",
        ] {
            assert_eq!(StyleUrl::parse(text), Err(BadStyleUrl), "{text}");
        }
    }
}
