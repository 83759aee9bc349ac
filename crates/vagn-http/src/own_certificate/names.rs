//! Names of the own certificate: those of this machine, as far as the kernel tells them, and those that are wanted.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::host;

/// Most addresses of this machine in a certificate.
const ADDRESSES_MAX: usize = 64;

/// Returns the names that clients on this machine and its network use for it, and those that are wanted.
pub(super) fn names(wanted: &[String]) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
    names.extend(addresses().into_iter().map(|address| address.to_string()));
    let host = host::of_machine();
    let named = wanted.iter().map(|name| name.trim()).chain([&*host]);
    // A name with other characters would make the whole certificate fail.
    names.extend(named.filter(|name| !name.is_empty() && is_plain(name)).map(str::to_owned));
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':' | b'_'))
}

/// Returns the addresses of this machine in its networks, as far as the kernel tells them.
fn addresses() -> Vec<IpAddr> {
    let v4 = local_v4(&fs::read_to_string("/proc/net/fib_trie").unwrap_or_default());
    let v6 = global_v6(&fs::read_to_string("/proc/net/if_inet6").unwrap_or_default());
    v4.into_iter().map(IpAddr::from).chain(v6.into_iter().map(IpAddr::from)).take(ADDRESSES_MAX).collect()
}

/// Reads the addresses that the kernel takes for its own from its routing table: `|-- ADDRESS`, and then `/32 host LOCAL`.
fn local_v4(table: &str) -> BTreeSet<Ipv4Addr> {
    let lines: Vec<_> = table.lines().map(str::trim).collect();
    let own = lines.windows(2).filter(|pair| pair[1] == "/32 host LOCAL");
    let addresses = own.filter_map(|pair| pair[0].strip_prefix("|-- ")?.parse::<Ipv4Addr>().ok());
    addresses.filter(|address| !address.is_loopback()).collect()
}

/// Reads the addresses with global scope, `00`, from the list of the kernel.
fn global_v6(list: &str) -> BTreeSet<Ipv6Addr> {
    list.lines().filter_map(global_address).collect()
}

fn global_address(line: &str) -> Option<Ipv6Addr> {
    let words: Vec<_> = line.split_whitespace().collect();
    let is_global = words.get(3).is_some_and(|scope| *scope == "00");
    u128::from_str_radix(words.first().filter(|_| is_global)?, 16).ok().map(Ipv6Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_addresses_of_the_machine_as_the_kernel_writes_them() {
        let table = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.0.2.0\n        \
                     /24 link UNICAST\n     |-- 192.0.2.7\n        /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n";
        assert_eq!(Vec::from_iter(local_v4(table)), [Ipv4Addr::new(192, 0, 2, 7)]);
        let list = "00000000000000000000000000000001 01 80 10 80       lo\n\
                    20010db8000000000000000000000007 02 40 00 80     eth0\n\
                    fe800000000000000042acfffe110002 02 40 20 80     eth0\n";
        assert_eq!(Vec::from_iter(global_v6(list)), ["2001:db8::7".parse::<Ipv6Addr>().unwrap()]);
        assert!(local_v4("nonsense").is_empty() && global_v6("nonsense 1").is_empty());
    }
}
