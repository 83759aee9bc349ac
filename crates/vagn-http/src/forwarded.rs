//! Requests that came through a proxy: their client, and the name that it used.
//!
//! Any client can write these headers, so they are believed only from the addresses in the setting `http.trusted_proxies`. From all others
//! they tell one thing: that the request may come from elsewhere than its connection.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, header};

/// Headers by which a proxy names its client, as was usual before RFC 7239.
const OLDER: [&str; 5] =
    ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-server"];

/// Beginning of the names of headers that only proxies add, and what they add beside those.
const OF_PROXIES: &str = "x-forwarded";
const BESIDE: [&str; 14] = [
    "forwarded",
    "via",
    "cdn-loop",
    "client-ip",
    "true-client-ip",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-envoy-external-address",
    "x-azure-clientip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "fly-client-ip",
];

/// Most proxies one behind the other that are looked at.
const HOPS_MAX: usize = 16;

/// Addresses of proxies whose word is taken. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpAddr]>);

/// The word of a proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Word {
    /// Address of the client.
    pub(crate) client: Option<IpAddr>,
    /// Scheme that the client used, `http` or `https`.
    pub(crate) scheme: Option<&'static str>,
    /// Host that the client named.
    pub(crate) host: Option<Box<str>>,
}

impl TrustedProxies {
    /// Takes the addresses as they stand in the settings.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self(addresses.into_iter().map(|address| address.to_canonical()).collect())
    }

    /// Returns true if the word of this address is taken.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Reads what the proxies say; the last of them is one of these.
    ///
    /// A proxy writes one form of these headers and passes the other on as the client sent it, and nothing tells which is which. So
    /// where both are there, only that is believed in which they agree.
    pub(crate) fn word(&self, headers: &HeaderMap) -> Word {
        let is_older = OLDER.iter().any(|name| headers.contains_key(*name));
        match (headers.contains_key(header::FORWARDED), is_older) {
            (true, true) => self.standard(headers).agreed(self.older(headers)),
            (true, false) => self.standard(headers),
            (false, _) => self.older(headers),
        }
    }

    fn standard(&self, headers: &HeaderMap) -> Word {
        let hops: Vec<Vec<(String, String)>> =
            items(headers, &header::FORWARDED).map(|hop| pairs(&hop)).collect();
        let last = hops.last().map(Vec::as_slice).unwrap_or_default();
        Word {
            client: self.client(hops.iter().map(|hop| value(hop, "for").unwrap_or_default())),
            scheme: value(last, "proto").and_then(|proto| scheme(&proto)),
            host: value(last, "host").map(String::into_boxed_str),
        }
    }

    fn older(&self, headers: &HeaderMap) -> Word {
        Word {
            client: self.client(items(headers, &HeaderName::from_static("x-forwarded-for"))),
            scheme: last_item(headers, "x-forwarded-proto").and_then(|proto| scheme(&proto)),
            host: last_item(headers, "x-forwarded-host").map(String::into_boxed_str),
        }
    }

    /// Returns the last address that is not one of these proxies: what stands before it can be invented.
    fn client(&self, hops: impl Iterator<Item = String>) -> Option<IpAddr> {
        let hops: Vec<String> = hops.collect();
        let mut client = None;
        for hop in hops.iter().rev().take(HOPS_MAX) {
            let address = address(hop)?;
            client = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        client
    }
}

impl Word {
    /// Returns what both say.
    fn agreed(self, other: Self) -> Self {
        Self {
            client: self.client.filter(|client| other.client == Some(*client)),
            scheme: self.scheme.filter(|scheme| other.scheme == Some(*scheme)),
            host: self.host.filter(|host| other.host.as_ref() == Some(host)),
        }
    }
}

/// Returns true if the request says that it came through a proxy.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().map(HeaderName::as_str).any(|name| name.starts_with(OF_PROXIES) || BESIDE.contains(&name))
}

/// Returns the items of a list that may be spread over several headers.
///
/// A proxy may add its item to what the client sent, whatever that is: an item that cannot be read hides none behind it.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> + use<'a> {
    let items = headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    items.map(|item| String::from_utf8_lossy(item).trim().to_owned())
}

fn last_item(headers: &HeaderMap, name: &'static str) -> Option<String> {
    items(headers, &HeaderName::from_static(name)).last()
}

fn value(hop: &[(String, String)], name: &str) -> Option<String> {
    hop.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

/// Reads `for=192.0.2.60;proto=https;host="a.example"`.
fn pairs(hop: &str) -> Vec<(String, String)> {
    let pairs = hop.split(';').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned()))
        .collect()
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|known| text.eq_ignore_ascii_case(known))
}

/// Reads `192.0.2.60`, `192.0.2.60:4711`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches('"');
    if let Some((inner, _)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return inner.parse().ok();
    }
    let host = text.split_once(':').map_or(text, |(host, _)| host);
    text.parse().or_else(|_| host.parse()).ok()
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn word(lines: &[(&str, &str)]) -> Word {
        TrustedProxies::new(["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()])
            .word(&headers(lines))
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_proxy_of_ours() {
        for (lines, client) in [
            (&[("x-forwarded-for", "198.51.100.7")][..], Some("198.51.100.7")),
            (&[("x-forwarded-for", "10.6.6.6, 198.51.100.7")], Some("198.51.100.7")),
            (&[("x-forwarded-for", "10.6.6.6, 198.51.100.7, 192.0.2.1")], Some("198.51.100.7")),
            (
                &[("x-forwarded-for", "10.6.6.6"), ("x-forwarded-for", "198.51.100.7:4711")],
                Some("198.51.100.7"),
            ),
            (
                &[("forwarded", "for=10.6.6.6, for=\"[2001:db8:7::9]:4711\";proto=https")],
                Some("2001:db8:7::9"),
            ),
            (&[("forwarded", "For=198.51.100.7")], Some("198.51.100.7")),
            (&[("forwarded", "for=198.51.100.7, for=unknown")], None),
            (&[("x-forwarded-for", "198.51.100.7, _hidden")], None),
            (&[("x-forwarded-proto", "https")], None),
        ] {
            assert_eq!(word(lines).client, client.map(|text| text.parse().unwrap()), "{lines:?}");
        }
    }

    #[test]
    fn scheme_and_host_are_those_that_the_nearest_proxy_saw() {
        for lines in [
            &[(
                "forwarded",
                "for=10.6.6.6;host=evil.example, for=198.51.100.7;proto=HTTPS;host=\"vagn.example\"",
            )][..],
            &[("x-forwarded-proto", "http, https"), ("x-forwarded-host", "evil.example, vagn.example")],
        ] {
            let word = word(lines);
            assert_eq!(
                (word.scheme, word.host.as_deref()),
                (Some("https"), Some("vagn.example")),
                "{lines:?}"
            );
        }
        assert_eq!(word(&[("x-forwarded-proto", "gopher")]).scheme, None);
    }

    #[test]
    fn of_two_forms_only_what_both_say_is_believed() {
        let agreed = word(&[
            ("forwarded", "for=10.6.6.6, for=198.51.100.7;proto=https;host=vagn.example"),
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "vagn.example"),
        ]);
        let client = "198.51.100.7".parse().ok();
        let said = Word { client, scheme: Some("https"), host: Some("vagn.example".into()) };
        assert_eq!(agreed, said);
        // One of the two is what the client made up.
        for invented in ["for=10.6.6.6;proto=http;host=evil.example", "for=unknown", ""] {
            let lines = [
                ("forwarded", invented),
                ("x-forwarded-for", "198.51.100.7"),
                ("x-forwarded-proto", "https"),
            ];
            assert_eq!(word(&lines), Word::default(), "{invented}");
        }
        let lines = [("forwarded", "for=198.51.100.7"), ("x-forwarded-host", "evil.example")];
        assert_eq!(word(&lines), Word::default());
    }

    #[test]
    fn any_header_of_a_proxy_tells_of_one() {
        let names = ["X-Forwarded-For", "X-Forwarded", "X-Forwarded-Ssl", "X-Real-IP", "Via"];
        for name in names.iter().chain(&OLDER).chain(&BESIDE) {
            assert!(is_forwarded(&headers(&[("host", "localhost"), (name, "x")])), "{name}");
        }
        for name in ["host", "x-vagn", "x-requested-with", "authorization", "origin"] {
            assert!(!is_forwarded(&headers(&[(name, "x")])), "{name}");
        }
    }
}
