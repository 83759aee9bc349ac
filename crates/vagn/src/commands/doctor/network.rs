//! Sockets: the size of the kernel's receive buffer, free ports, and the emergency targets.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use vagn_load::ops::Ops;

use super::finding::Finding;
use crate::config::EmergencySettings;
use crate::config::Settings;
use crate::door::{listen, probe_buffer};

/// Longest wait for a connection to an emergency target.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Checks whether the kernel gives the UDP door the receive buffer that it asks for.
pub(super) fn receive_buffer(asked: u32) -> Vec<Finding> {
    let buffer = match probe_buffer(asked as usize) {
        Ok(buffer) => buffer,
        Err(err) => {
            return vec![Finding::fail(format!("udp: no socket: {err}"), "raise the limit of open files")];
        }
    };
    // Linux reports twice the size that was asked for: it counts its own bookkeeping too.
    let found = format!("udp: receive buffer of {} bytes, {asked} asked for", buffer.booked / 2);
    if !buffer.is_capped() {
        return vec![Finding::ok(found)];
    }
    let remedy = format!("bursts are lost sooner: {}, or give the service CAP_NET_ADMIN", buffer.remedy());
    vec![Finding::warn(found, remedy)]
}

/// Checks whether the port of each listener is free.
pub(super) fn ports(settings: &Settings) -> Vec<Finding> {
    let all = [
        ("udp", &settings.udp.listen, udp as fn(SocketAddr) -> io::Result<()>),
        ("tcp", &settings.tcp.listen, tcp),
        ("http", &settings.http.listen, tcp),
        ("ops", &settings.ops.listen, tcp),
    ];
    // If a service answers on the ops port, it is most likely the one that uses these ports, and that is no fault.
    let running = settings.ops.listen.parse::<Ops>().is_ok_and(|ops| ops.get("/healthz").is_ok());
    all.into_iter().map(|(door, listen, bind)| port(door, listen, bind, running)).collect()
}

fn udp(address: SocketAddr) -> io::Result<()> {
    UdpSocket::bind(address).map(drop)
}

fn tcp(address: SocketAddr) -> io::Result<()> {
    TcpListener::bind(address).map(drop)
}

fn port(door: &str, listen: &str, bind: fn(SocketAddr) -> io::Result<()>, running: bool) -> Finding {
    let addresses = match listen::resolve(listen) {
        Ok(addresses) => addresses,
        Err(err) => return Finding::fail(format!("{door}: {err}"), "correct the setting"),
    };
    for address in addresses {
        match bind(address) {
            Ok(()) => {}
            Err(err) if err.kind() == io::ErrorKind::AddrInUse && running => {
                return Finding::ok(format!(
                    "{door}: {address} is in use while a service answers on the ops port"
                ));
            }
            Err(err) if err.kind() == io::ErrorKind::AddrInUse => {
                let remedy = format!("see who has it with ss -lntup, or choose another with --{door}");
                return Finding::fail(format!("{door}: {address} is in use"), remedy);
            }
            // This machine has no IPv6; the service leaves the address out as well.
            Err(err) if err.kind() == io::ErrorKind::AddrNotAvailable && address.is_ipv6() => {}
            Err(err) => {
                return Finding::fail(format!("{door}: cannot listen on {address}: {err}"), "choose another");
            }
        }
    }
    Finding::ok(format!("{door}: {listen} is free"))
}

/// Checks whether each emergency target accepts connections.
pub(super) fn targets(settings: &EmergencySettings) -> Vec<Finding> {
    let targets = match settings.targets() {
        Ok(targets) => targets,
        Err(err) => return vec![Finding::fail(err.to_string(), "correct this setting")],
    };
    let mut findings: Vec<_> = targets
        .all()
        // Without its path, which may hold a token.
        .map(|each| target(each.name(), &each.url().origin().ascii_serialization(), each.url().as_str()))
        .collect();
    if targets.chain.is_empty() {
        let remedy = "set --emergency-url; `vagn sink` stands in for a service while you try";
        findings.push(Finding::warn("emergency: no target, calls for help are only listed", remedy));
    }
    findings
}

fn target(name: &str, shown: &str, url: &str) -> Finding {
    match connect(url) {
        Ok(address) => Finding::ok(format!("emergency: {name}, {shown}, is reachable at {address}")),
        Err(why) => {
            let remedy = "check address and firewall";
            Finding::fail(format!("emergency: {name}, {shown}, is not reachable: {why}"), remedy)
        }
    }
}

fn connect(url: &str) -> Result<SocketAddr, String> {
    let url = reqwest::Url::parse(url).map_err(|err| err.to_string())?;
    let host = url.host_str().ok_or("it names no host")?.trim_matches(['[', ']']);
    let port = url.port_or_known_default().ok_or("it names no port")?;
    let mut last = "its name has no address".to_owned();
    for address in (host, port).to_socket_addrs().map_err(|err| err.to_string())? {
        match TcpStream::connect_timeout(&address, CONNECT_WITHIN) {
            Ok(_) => return Ok(address),
            Err(err) => last = err.to_string(),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    #[test]
    fn says_how_to_get_a_larger_buffer() {
        assert_eq!(receive_buffer(4096)[0].level(), Level::Ok);
        let most = &receive_buffer(i32::MAX as u32 / 4)[0];
        assert!(most.level() == Level::Ok || most.to_string().contains("net.core.rmem_max"), "{most}");
    }

    #[test]
    fn tells_a_port_in_use_from_a_free_one() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = taken.local_addr().unwrap().to_string();
        assert_eq!(port("tcp", &listen, tcp, false).level(), Level::Fail);
        assert_eq!(port("tcp", &listen, tcp, true).level(), Level::Ok);
        assert_eq!(port("udp", "127.0.0.1:0", udp, false).level(), Level::Ok);
        assert_eq!(port("tcp", "nowhere", tcp, false).level(), Level::Fail);
    }

    #[test]
    fn connects_to_the_target_without_sending_a_notice() {
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/calls", service.local_addr().unwrap());
        let mut settings = EmergencySettings { url, ..EmergencySettings::default() };
        assert_eq!(targets(&settings)[0].level(), Level::Ok);
        drop(service);
        assert_eq!(targets(&settings)[0].level(), Level::Fail);
        settings.url = "dispatch".into();
        assert_eq!(targets(&settings)[0].level(), Level::Fail);
        assert_eq!(targets(&EmergencySettings::default())[0].level(), Level::Warn);
    }
}
