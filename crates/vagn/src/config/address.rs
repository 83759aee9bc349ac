//! Names and addresses in settings: how they are written, and which of them other machines can reach.

use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};

use super::refused::Refused;
use super::settings::HttpSettings;

impl HttpSettings {
    /// Returns true if the API can be reached from this machine alone.
    pub fn is_local(&self) -> bool {
        is_loopback(&self.listen)
    }

    /// Returns the host of the public address, without its port; `None` when there is no address, or one that cannot be.
    pub fn public_host(&self) -> Option<&str> {
        let url = &self.public_url;
        let (scheme, rest) = url.split_once("://").filter(|_| is_origin(url))?;
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = address.map_or(is_name(host), |host| host.parse::<Ipv6Addr>().is_ok());
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
        (matches!(scheme, "https" | "http") && is_host && is_port).then_some(address.unwrap_or(host))
    }
}

/// Returns the addresses that a listener may have.
pub(super) fn resolve(key: &'static str, listen: &str) -> Result<Vec<SocketAddr>, Refused> {
    let found = listen.to_socket_addrs();
    found.map(Iterator::collect).map_err(|err| Refused::Address {
        key,
        listen: listen.into(),
        why: err.to_string(),
    })
}

/// Tells if an address can be reached from this machine alone. One that cannot be resolved is refused elsewhere.
fn is_loopback(listen: &str) -> bool {
    listen.to_socket_addrs().is_ok_and(|mut addresses| addresses.all(|address| address.ip().is_loopback()))
}

/// Tells if `text` can be the name of a machine.
pub(super) fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.bytes().all(is_part)
}

/// Tells if a browser would send `text` in the header `Origin`: scheme, host, and the port where it is not the scheme's own.
pub(super) fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let own_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => "/",
    };
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
    let is_host = |byte: u8| is_plain(byte) && !b"/?#@*,\"\\".contains(&byte);
    !scheme.is_empty()
        && !host.is_empty()
        && scheme.bytes().all(is_plain)
        && host.bytes().all(is_host)
        && !host.ends_with(own_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_has_a_host_and_no_path() {
        let host = |url: &str| {
            let http = HttpSettings { public_url: url.to_owned(), ..HttpSettings::default() };
            http.public_host().map(str::to_owned)
        };
        for (fine, expected) in [
            ("https://fleet.example", "fleet.example"),
            ("http://localhost:9090", "localhost"),
            ("https://192.0.2.7:8443", "192.0.2.7"),
            ("https://[2001:db8::7]", "2001:db8::7"),
            ("https://[2001:db8::7]:8443", "2001:db8::7"),
        ] {
            assert_eq!(host(fine).as_deref(), Some(expected), "{fine}");
        }
        for wrong in
            ["fleet.example", "https://fleet.example/", "ftp://fleet.example", "https://a b", "https://x:y"]
        {
            assert_eq!(host(wrong), None, "{wrong}");
        }
    }
}
