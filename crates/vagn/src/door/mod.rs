//! Doors: the ways in for reports. A door fills batches with what arrives, gives them to the intake, and knows no later
//! stage.
//!
//! Sockets are bound once, before anything starts, and outlive the threads and tasks that serve them: a door that is
//! restarted loses nothing that waits in the kernel.

pub mod listen;
mod tcp;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod udp;

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::runtime::Handle;
use vagn_flow::clock::Clock;
use vagn_flow::descriptors::Places;
use vagn_flow::intake::Intake;
use vagn_flow::metrics::{DoorMetrics, MetricRegistry};
use vagn_otp::ChildSpec;
use vagn_wire::VehicleId;

use self::listen::ListenError;
pub use self::udp::{Buffer, UDP, probe_buffer};
use crate::config::Settings;

/// Says whether a vehicle has been [known](vagn_emergency::KnownVehicles) for long, as far as that can be said at once.
pub type IsKnown = Arc<dyn Fn(VehicleId<'_>) -> bool + Send + Sync>;

/// Binds one door, as the settings name it.
type Bind = fn(&Settings) -> Result<Box<dyn Door>, ListenError>;

/// All doors, in the order in which their addresses are shown.
const DOORS: [Bind; 2] = [udp::bind, tcp::bind];

/// A bound door, before it opens.
pub trait Door: Send {
    /// Name of the door, in the log and on standard output.
    fn name(&self) -> &'static str;

    /// Addresses that it listens at.
    fn addresses(&self) -> Vec<SocketAddr>;

    /// Returns the children that serve the door. Each beats at least once a second. The sockets close when the last child
    /// is dropped.
    fn children(self: Box<Self>, parts: &DoorParts) -> Vec<ChildSpec>;
}

/// Parts that every door is given.
#[derive(Clone)]
pub struct DoorParts {
    /// Takes batches.
    pub intake: Intake,
    /// Tells how long things take.
    pub clock: Arc<dyn Clock>,
    /// Counts faults and refused connections.
    pub metrics: DoorMetrics,
    /// Takes the metrics of the door itself.
    pub registry: Arc<MetricRegistry>,
    /// Places for the connections of the TCP door.
    pub tcp_places: Arc<Places>,
    /// Tells vehicles that are known from strangers.
    pub is_known: IsKnown,
    /// Secret number by which places in tables of sources are drawn.
    pub seed: u64,
    /// Where clients are let in by TLS; `None`: where the door runs.
    pub handshakes: Option<Handle>,
    /// For doors that speak TLS.
    pub tls: Arc<ServerConfig>,
}

/// The bound doors of the service, before they open.
pub struct Doors(Vec<Box<dyn Door>>);

impl Doors {
    /// Binds what the settings name, nothing for a node of a cluster that takes no reports, and says in the log where the kernel gives less than was asked for.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub fn bind(settings: &Settings) -> Result<Self, ListenError> {
        // Whether roles are right was checked with the settings.
        if settings.cluster.roles().is_ok_and(|roles| !roles.ingest) {
            return Ok(Self(Vec::new()));
        }
        DOORS.iter().map(|bind| bind(settings)).collect::<Result<_, _>>().map(Self)
    }

    /// Returns the name and the first address of each door.
    pub fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        self.0.iter().filter_map(|door| Some((door.name(), *door.addresses().first()?)))
    }

    /// Returns the children that serve the doors.
    pub fn children(self, parts: &DoorParts) -> Vec<ChildSpec> {
        self.0.into_iter().flat_map(|door| door.children(parts)).collect()
    }
}
