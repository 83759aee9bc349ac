//! Doors: where reports come in. They seal what arrived into batches, publish them, and know no later stage.
//!
//! Sockets are bound once, before anything starts, and outlive the threads and tasks that serve them: a door that is
//! restarted loses nothing that waits in the kernel.

mod backoff;
mod contention;
mod control;
mod files;
mod gather;
mod gro;
mod handover;
pub mod listen;
mod meminfo;
mod outlet;
mod pktinfo;
mod port;
mod recvmmsg;
mod socket;
mod sockopt;
mod steer;
mod tcp;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod udp;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rustls::ServerConfig;
use vagn_otp::ChildSpec;

pub use self::handover::Handover;
use self::listen::{ListenError, Transport};
use self::outlet::DoorOutlet;
use self::port::{Port, Unsteered, Wanted};
use self::socket::DoorSocket;
pub use self::socket::{Buffer, probe_buffer};
use self::tcp::TcpDoor;
use self::udp::{Lane, UdpDoor, UdpMetrics};
use crate::config::{Reply, TcpSettings, UdpSettings};
use vagn_flow::metrics::Registry;

/// The bound doors of the service, before they open.
#[derive(Debug)]
pub struct Doors {
    ports: Vec<Port>,
    listeners: Vec<TcpListener>,
    reply: Reply,
    tcp: TcpSettings,
    files: u64,
}

impl Doors {
    /// Binds what the settings name, and says in the log where the kernel gives less than was asked for.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub fn bind(udp: &UdpSettings, tcp: &TcpSettings) -> Result<Self, ListenError> {
        Self::bind_steered(udp, tcp, true)
    }

    fn bind_steered(udp: &UdpSettings, tcp: &TcpSettings, steered: bool) -> Result<Self, ListenError> {
        let buffer_bytes = udp.receive_buffer_bytes as usize;
        let wanted = Wanted { buffer_bytes, steered, merged: udp.gro };
        let addresses = listen::resolve(&udp.listen)?;
        let bind = |address| Port::bind(address, wanted).map(|port| (port.address, port));
        let ports: Vec<Port> =
            listen::bind_all(Transport::Udp, &addresses, bind)?.into_iter().map(|(_, port)| port).collect();
        let listeners = listen::tcp(&tcp.listen)?;
        // Without it there are fewer connections; the number that is assumed then is the usual limit.
        let files = files::raise_limit().unwrap_or(1_024);
        ports.iter().for_each(|port| warn(port, wanted));
        Ok(Self { ports, listeners, reply: udp.reply, tcp: tcp.clone(), files })
    }

    /// Where datagrams are received.
    pub fn udp_addresses(&self) -> Vec<SocketAddr> {
        self.ports.iter().map(|port| port.address).collect()
    }

    /// Where connections are accepted.
    pub fn tcp_addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Whether the kernel keeps calls for help apart at every address.
    pub fn is_steered(&self) -> bool {
        self.ports.iter().all(|port| port.emergency.is_ok())
    }

    /// The children that serve the doors: `udp` and `udp-emergency` (with `-2` and so on for further addresses), `tcp`.
    /// Each beats at least once a second. The sockets close when the last child is dropped.
    pub fn children(
        self,
        tls: Arc<ServerConfig>,
        handover: &Handover,
        registry: &Registry,
    ) -> Vec<ChildSpec> {
        let metrics = UdpMetrics::new(registry);
        let mut children = Vec::new();
        for (at, port) in self.ports.into_iter().enumerate() {
            let suffix = if at == 0 { String::new() } else { format!("-{}", at + 1) };
            let lane = if port.emergency.is_ok() { Lane::Positions } else { Lane::Mixed };
            children.push(udp(&format!("udp{suffix}"), port.ordinary, self.reply, lane, handover, &metrics));
            if let Ok(socket) = port.emergency {
                let name = format!("udp-emergency{suffix}");
                children.push(udp(&name, socket, self.reply, Lane::Emergencies, handover, &metrics));
            }
        }
        let door =
            Arc::new(TcpDoor::new(self.listeners, tls, &self.tcp, self.files, handover.clone(), registry));
        let run = move |ctx| {
            let door = door.clone();
            async move { door.run(&ctx).await }
        };
        children.push(ChildSpec::task("tcp", run));
        children
    }
}

fn udp(
    name: &str,
    socket: Arc<DoorSocket>,
    reply: Reply,
    lane: Lane,
    handover: &Handover,
    metrics: &UdpMetrics,
) -> ChildSpec {
    let outlet = Arc::new(DoorOutlet::new(socket.clone(), handover.doors.clone()));
    let door = UdpDoor { socket, outlet, handover: handover.clone(), reply, lane, metrics: metrics.clone() };
    ChildSpec::thread(name, move |ctx| door.run(&ctx))
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
