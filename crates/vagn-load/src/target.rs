//! The target of traffic: a host and a port, by name or number.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    str::FromStr,
};

use thiserror::Error;

/// A host and a port, such as `localhost:9092` or `[::1]:9092`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
}

/// Reason why a text is no target.
#[derive(Debug, Error)]
pub enum TargetError {
    /// It is not written as a target.
    #[error("{0:?} is not host:port, such as localhost:9092")]
    Form(String),
    /// The name has no address.
    #[error("{0} has no address; check the name")]
    Unknown(Target, #[source] Option<std::io::Error>),
}

impl Target {
    /// Host without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Looks up the addresses, IPv4 first: a server that listens on 127.0.0.1 alone is then found under `localhost` too.
    ///
    /// # Errors
    /// When the name has none.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, TargetError> {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let mut found: Vec<_> = found.map_err(|err| TargetError::Unknown(self.clone(), Some(err)))?.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        if found.is_empty() { Err(TargetError::Unknown(self.clone(), None)) } else { Ok(found) }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        read(text).ok_or_else(|| TargetError::Form(text.to_owned()))
    }
}

fn read(text: &str) -> Option<Target> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let port = port.parse().ok()?;
    let is_name = bare.is_some() || !host.contains(':');
    let is_target = !host.is_empty() && port != 0 && is_name;
    is_target.then(|| Target { host: host.to_owned(), port })
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hosts_by_name_and_number() {
        for text in ["localhost:9092", "127.0.0.1:1", "[::1]:65535", "vagn.example:9092"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for wrong in ["", "localhost", ":9092", "localhost:0", "localhost:70000", "::1:9092", "localhost:x"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn prefers_ipv4() {
        let addresses = "localhost:9092".parse::<Target>().unwrap().addresses().unwrap();
        assert!(addresses.is_sorted_by_key(SocketAddr::is_ipv6), "{addresses:?}");
    }
}
