//! The UDP door: one or two sockets for each address, and a thread for each socket.

mod backoff;
mod control;
mod gather;
pub(super) mod gro;
mod meminfo;
mod original;
mod outlet;
mod pktinfo;
mod port;
mod receive;
mod recvmmsg;
mod socket;
pub(super) mod sockopt;
mod steer;

use std::net::SocketAddr;
use std::sync::Arc;

use vagn_flow::batch::{Origin, Pressure};
use vagn_otp::ChildSpec;

use self::original::Originals;
use self::outlet::DoorOutlet;
use self::port::{Port, Unsteered, Wanted};
use self::receive::{Class, UdpDoor, UdpMetrics};
use self::socket::DoorSocket;
pub use self::socket::{Buffer, probe_buffer};
use super::listen::{self, ListenError, Transport};
use super::{Door, DoorParts};
use crate::config::{Reply, Settings, UdpSettings};

/// Name of the door.
pub const UDP: &str = "udp";

/// Senders of datagrams do not wait, so a full service sheds the oldest of them.
const ORIGIN: Origin = Origin { door: UDP, pressure: Pressure::Shed };

/// The bound ports, one for each address.
#[derive(Debug)]
pub(super) struct UdpPorts {
    pub(super) ports: Vec<Port>,
    reply: Reply,
}

/// Binds the door.
pub(super) fn bind(settings: &Settings) -> Result<Box<dyn Door>, ListenError> {
    Ok(Box::new(UdpPorts::bind(&settings.udp, true)?))
}

impl UdpPorts {
    /// `steered`: the kernel is asked to keep alarms apart.
    pub(super) fn bind(settings: &UdpSettings, steered: bool) -> Result<Self, ListenError> {
        let buffer_bytes = settings.receive_buffer_bytes as usize;
        let wanted = Wanted { buffer_bytes, steered, merged: settings.gro };
        let addresses = listen::resolve(&settings.listen)?;
        let bind = |address| Port::bind(address, wanted).map(|port| (port.address, port));
        let bound = listen::bind_all(Transport::Udp, &addresses, bind)?;
        let ports: Vec<Port> = bound.into_iter().map(|(_, port)| port).collect();
        for port in &ports {
            warn(port, wanted);
        }
        Ok(Self { ports, reply: settings.reply })
    }

    fn child(&self, name: &str, socket: &Arc<DoorSocket>, class: Class, parts: &UdpParts<'_>) -> ChildSpec {
        let door = UdpDoor {
            socket: socket.clone(),
            outlet: Arc::new(DoorOutlet::new(socket.clone(), parts.common.metrics.clone())),
            intake: parts.common.intake.clone(),
            clock: parts.common.clock.clone(),
            faults: parts.common.metrics.clone(),
            metrics: parts.metrics.clone(),
            originals: parts.originals.clone(),
            class,
        };
        ChildSpec::thread(name, move |ctx| door.run(&ctx))
    }
}

/// Parts for the threads of the door.
struct UdpParts<'a> {
    common: &'a DoorParts,
    metrics: UdpMetrics,
    originals: Option<Arc<Originals>>,
}

impl Door for UdpPorts {
    fn name(&self) -> &'static str {
        UDP
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.ports.iter().map(|port| port.address).collect()
    }

    /// `udp` and, where the kernel steers, `udp-emergency`; with `-2` and so on for further addresses.
    fn children(self: Box<Self>, parts: &DoorParts) -> Vec<ChildSpec> {
        // One for all sockets, so that a sender has one allowance.
        let originals = (self.reply == Reply::Original).then(|| Originals::new(parts));
        let parts = UdpParts { common: parts, metrics: UdpMetrics::new(&parts.registry), originals };
        let mut children = Vec::new();
        for (at, port) in self.ports.iter().enumerate() {
            let suffix = if at == 0 { String::new() } else { format!("-{}", at + 1) };
            let class = if port.emergency.is_ok() { Class::Positions } else { Class::Mixed };
            children.push(self.child(&format!("udp{suffix}"), &port.ordinary, class, &parts));
            if let Ok(socket) = &port.emergency {
                children.push(self.child(&format!("udp-emergency{suffix}"), socket, Class::Alarms, &parts));
            }
        }
        children
    }
}

fn warn(port: &Port, wanted: Wanted) {
    let buffer = port.ordinary.buffer;
    if buffer.is_capped() {
        tracing::warn!(
            address = %port.address,
            asked = buffer.asked,
            got = buffer.booked / 2,
            remedy = buffer.remedy(),
            "the kernel gave a smaller receive buffer than asked for; bursts will be dropped"
        );
    }
    if wanted.merged && !port.ordinary.gives.merged {
        tracing::warn!(address = %port.address, "this kernel has no UDP GRO; datagrams are received one by one");
    }
    if let Err(reason @ Unsteered::Refused(_)) = &port.emergency {
        tracing::warn!(
            address = %port.address,
            %reason,
            "emergencies share the ordinary udp socket: under overload they wait and are dropped with positions"
        );
    }
}
