//! Sites that can be cut off: each is a network namespace with a broker and a node, and its links are taken down.
//!
//! As root only. A test runs itself again in a network namespace of its own, in which it may do as it likes. Nodes and brokers speak to each
//! other in clear, as they may on loopback: the sites have addresses of that net, and are told to route them.

use std::process::Command;

use super::nodes::Cluster;
use crate::brokers::Brokers;
use crate::vagn::command_of;

/// Set in the run that has a network namespace of its own.
const INSIDE: &str = "VAGN_TEST_INSIDE";

pub(crate) const SITES: usize = 3;

/// Address of the test that all sites reach whichever is cut off: there targets listen.
pub(crate) const OUTSIDE: &str = "127.99.0.1";

/// Runs a command of a shell, which must succeed.
fn sh(script: &str) {
    let done = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(done.status.success(), "{script}\n{}", String::from_utf8_lossy(&done.stderr));
}

/// Three sites, each linked with each other one, and with the test by a link of its own that is never taken down.
pub(crate) struct Sites;

impl Sites {
    fn space(site: usize) -> String {
        format!("vagn-{}-{site}", std::process::id())
    }

    /// Address for brokers and nodes.
    fn host(site: usize) -> String {
        format!("127.77.0.{}", site + 1)
    }

    /// Address for the test.
    pub(crate) fn door(site: usize) -> String {
        format!("127.88.{}.2", site + 1)
    }

    /// Other sites.
    pub(crate) fn others(site: usize) -> impl Iterator<Item = usize> {
        (0..SITES).filter(move |other| *other != site)
    }

    pub(crate) fn make() -> Self {
        let sites = Self;
        let routed = "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet; ip link set lo up";
        sh(&format!("{routed}; ip addr add {OUTSIDE}/32 dev lo"));
        for site in 0..SITES {
            let (space, host, net) = (Self::space(site), Self::host(site), site + 1);
            sh(&format!(
                "ip netns add {space}; ip netns exec {space} sh -ec '{routed}; ip addr add {host}/32 dev lo'"
            ));
            sh(&format!("ip link add door{site} type veth peer name door netns {space}"));
            sh(&format!("ip addr add 127.88.{net}.1/24 dev door{site}; ip link set door{site} up"));
            sh(&format!(
                "ip netns exec {space} sh -ec 'ip addr add 127.88.{net}.2/24 dev door; ip link set door up'"
            ));
            sh(&format!("ip route add 127.88.{net}.0/24 dev door{site} table local"));
            for target in [format!("127.88.{net}.0/24"), format!("{OUTSIDE}/32")] {
                let route = format!("ip route add {target} dev door src 127.88.{net}.2 table local");
                sh(&format!("ip netns exec {space} {route}"));
            }
        }
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            let (from, to) = (Self::space(one), Self::space(other));
            sh(&format!("ip link add to{other} netns {from} type veth peer name to{one} netns {to}"));
        }
        (0..SITES).for_each(|site| sites.join(site));
        sites
    }

    /// Takes the links of a site down.
    pub(crate) fn cut(&self, site: usize) {
        for other in Self::others(site) {
            sh(&format!("ip netns exec {} ip link set to{other} down", Self::space(site)));
        }
    }

    /// Takes the links of a site up. Routes go with their links, so they are made again.
    pub(crate) fn join(&self, site: usize) {
        for other in Self::others(site) {
            for (from, to) in [(site, other), (other, site)] {
                sh(&format!("ip netns exec {} ip link set to{to} up", Self::space(from)));
            }
            for (from, to) in [(site, other), (other, site)] {
                let (space, target, source) = (Self::space(from), Self::host(to), Self::host(from));
                sh(&format!(
                    "ip netns exec {space} ip route replace {target}/32 dev to{to} src {source} table local"
                ));
            }
        }
    }
}

impl Drop for Sites {
    fn drop(&mut self) {
        for site in 0..SITES {
            // One that was not made is not there.
            Command::new("ip").args(["netns", "del", &Self::space(site)]).output().ok();
        }
    }
}

/// Starts a broker and a node in each site, with further settings of `[cluster]`.
pub(crate) fn start(settings: &str) -> Cluster {
    let site = |site| format!("{}:{}:{}", Sites::space(site), Sites::host(site), Sites::door(site));
    let sites: Vec<_> = (0..SITES).map(site).collect();
    let brokers = Brokers::start_with(&["--sites", &sites.join(",")]);
    let mut cluster = Cluster::over_with(brokers, settings);
    for node in 0..SITES {
        let mut within = command_of("ip");
        within.args(["netns", "exec", &Sites::space(node), env!("CARGO_BIN_EXE_vagn")]);
        let door = format!("{}:0", Sites::door(node));
        let doors = ["--udp", "--tcp", "--http", "--ops"].map(|flag| [flag, &door]);
        cluster.launch_by(node, within, &doors.concat());
    }
    (0..SITES).for_each(|node| cluster.node_mut(node).wait_ready());
    cluster
}

/// Runs a test of this name in a network namespace of its own, if that can be had.
pub(crate) fn run_inside(test: &str) {
    let can = Command::new("unshare").args(["--net", "ip", "netns", "list"]).output();
    if !can.is_ok_and(|said| said.status.success()) {
        eprintln!("skipped: network namespaces need root and iproute2");
        return;
    }
    let mut again = Command::new("unshare");
    again.arg("--net").arg(std::env::current_exe().unwrap()).env(INSIDE, "1");
    again.args(["--exact", &format!("cluster::partitions::{test}"), "--nocapture"]);
    let done = again.output().unwrap();
    eprintln!("{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

/// Returns true in the run that has a network namespace of its own.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}
