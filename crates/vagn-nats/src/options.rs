//! Options of the connections: addresses of brokers, and the name of the data set there.

use std::net::IpAddr;

use async_nats::ServerAddr;
use vagn_cluster::NodeId;

use crate::account::Account;
use crate::names::Names;

/// Longest name of a data set.
const SET_MAX: usize = 32;

/// Brokers, and the way to speak to them.
#[derive(Debug, Clone)]
pub struct Options {
    /// Without users and passwords.
    pub(crate) addresses: Vec<ServerAddr>,
    /// For each address, the account of the node there.
    pub(crate) accounts: Vec<Option<Account>>,
    pub(crate) names: Names,
    pub(crate) node: NodeId,
    pub(crate) run: u64,
    pub(crate) tls: Option<rustls::ClientConfig>,
    pub(crate) replicas: u8,
}

/// Reason why options are refused.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// None was given.
    #[error("no address of a broker is given: name two or three, such as tls://a.example,tls://b.example")]
    NoAddress,
    /// One cannot be read. It is shown as the list allows: by its number where any of them may have a password.
    #[error("{0} is no address of a broker: write tls://HOST[:PORT]")]
    Address(String),
    /// One would be spoken to in clear over a network; shown as [`OptionsError::Address`].
    #[error("{0} would be in clear over the network: write tls://, or nats:// with a loopback address")]
    Clear(String),
    /// The name would not do as a part of subjects.
    #[error("'{0}' is no name of a data set: 1 to 32 of a-z, 0-9 and -")]
    Set(String),
}

impl Options {
    /// Takes addresses (`tls://host:port`; `nats://` for loopback alone; a user and a password may stand before the host), the name of the
    /// data set, the node, and a number that no other run has. A byte of a user or a password that may not stand in an address is written with `%`.
    ///
    /// # Errors
    /// Says what is wrong with an address or the name.
    pub fn new(addresses: &[String], set: &str, node: NodeId, run: u64) -> Result<Self, OptionsError> {
        if !(1..=SET_MAX).contains(&set.len()) || !set.bytes().all(may_stand) {
            return Err(OptionsError::Set(set.to_owned()));
        }
        // Nothing of a list with a password is shown: where that has a comma, a piece of it may stand in any of them.
        let is_secret = addresses.iter().any(|text| text.contains('@'));
        let name = |at: usize, text: &str| match is_secret {
            true => format!("address {} of {}", at + 1, addresses.len()),
            false => format!("'{text}'"),
        };
        let each = addresses.iter().enumerate();
        let read: Vec<_> =
            each.map(|(at, text)| address(text, || name(at, text))).collect::<Result<_, _>>()?;
        let (addresses, accounts): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        if addresses.is_empty() {
            return Err(OptionsError::NoAddress);
        }
        let names = Names::new(set.to_owned());
        Ok(Self { addresses, accounts, names, node, run, tls: None, replicas: 3 })
    }

    /// Sets certificates and roots for `tls://`. Without, the machine's roots count.
    #[must_use]
    pub fn tls(mut self, config: rustls::ClientConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Sets the number of brokers that keep each stream: 3 unless told. With one broker, a test may say 1.
    #[must_use]
    pub fn replicas(mut self, replicas: u8) -> Self {
        self.replicas = replicas;
        self
    }
}

/// Returns true if a byte may stand in the name of a data set, and so in subjects and names of streams.
fn may_stand(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

fn address(text: &str, name: impl Fn() -> String) -> Result<(ServerAddr, Option<Account>), OptionsError> {
    let read: ServerAddr = text.parse().map_err(|_| OptionsError::Address(name()))?;
    match read.scheme() {
        "tls" => {}
        "nats" if is_loopback(read.host()) => {}
        "nats" => return Err(OptionsError::Clear(name())),
        _ => return Err(OptionsError::Address(name())),
    }
    Account::take(read).ok_or_else(|| OptionsError::Address(name()))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, set: &str) -> Result<(), String> {
        let made = Options::new(&[address.to_owned()], set, NodeId(1), 1);
        made.map(drop).map_err(|err| err.to_string())
    }

    #[test]
    fn loopback_may_be_in_clear_and_nothing_else() {
        for address in
            ["nats://127.0.0.1:4222", "nats://localhost", "nats://[::1]:4222", "tls://a.example:4222"]
        {
            assert_eq!(check(address, "buses"), Ok(()), "{address}");
        }
        let clear = check("nats://a.example", "buses").unwrap_err();
        assert!(clear.contains("in clear"), "{clear}");
        assert!(check("ws://a.example", "buses").is_err());
        assert!(check("nats://a b", "buses").is_err());
        assert!(Options::new(&[], "buses", NodeId(1), 1).is_err());
    }

    #[test]
    fn a_refusal_shows_the_address_and_nothing_of_a_list_with_a_password() {
        assert!(check("tls://a.example:port", "buses").unwrap_err().contains("'tls://a.example:port'"));
        let addresses = ["tls://a.example", "tls://me:hu", "tls://sh@b.example"].map(str::to_owned);
        let said = Options::new(&addresses, "buses", NodeId(1), 1).unwrap_err().to_string();
        assert!(said.contains("address 2 of 3") && !said.contains("hu"), "{said}");
    }

    #[test]
    fn a_set_is_named_so_that_it_can_stand_in_a_subject() {
        let long = "a".repeat(SET_MAX + 1);
        for set in ["", "Buses", "a.b", "a>", "*", "a b", long.as_str()] {
            assert!(check("nats://127.0.0.1", set).is_err(), "{set}");
        }
    }
}
