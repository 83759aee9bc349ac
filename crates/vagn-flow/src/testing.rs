//! Shared by the tests of several crates: reports to send, and a sender that hears its answers.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use vagn_seal::{Epoch, KeyId, KeyInForce, Secret, Speaker};
use vagn_wire::{Position, Report, VehicleId, encode};

use crate::batch::{Origin, Pressure};
use crate::guard::Guard;
use crate::reply::{Outlet, Peer, ReplyTo};

/// Origin of batches whose senders do not wait.
pub const SHEDDING: Origin = Origin { door: "udp", pressure: Pressure::Shed };

/// Origin of batches whose senders wait.
pub const WAITING: Origin = Origin { door: "tcp", pressure: Pressure::Wait };

/// A report by `vehicle_id` from Austin, as bytes.
///
/// # Panics
/// If `vehicle_id` is no vehicle id.
pub fn report(vehicle_id: &str, seq: Option<u64>) -> Vec<u8> {
    with_flag(vehicle_id, seq, false)
}

/// The same with its flag set.
///
/// # Panics
/// When `vehicle_id` is no vehicle id.
pub fn emergency(vehicle_id: &str, seq: Option<u64>) -> Vec<u8> {
    with_flag(vehicle_id, seq, true)
}

fn with_flag(vehicle_id: &str, seq: Option<u64>, emergency: bool) -> Vec<u8> {
    let position = Position::new(30.27, -97.74).expect("it is in Austin");
    let vehicle_id = VehicleId::new(vehicle_id).expect("a vehicle id");
    let report = Report { seq, emergency, ..Report::new(vehicle_id, position) };
    let mut bytes = Vec::new();
    encode(&report, &mut bytes);
    bytes
}

/// Puts a key for `vehicle_id` in force.
///
/// # Panics
/// When `vehicle_id` is no vehicle id.
pub fn give_key(guard: &Guard, vehicle_id: &str) {
    let speaker = Speaker::Vehicle(VehicleId::new(vehicle_id).expect("a vehicle id"));
    let epochs = [(Epoch::FIRST, Secret([7; 32]))];
    guard.keys().put(&KeyInForce { key_id: KeyId([7; 8]), speaker, epochs: &epochs });
}

struct Heard(Sender<Vec<u8>>);

impl Outlet for Heard {
    fn answer(&self, answer: &[u8], _: &Peer) {
        self.0.send(answer.to_vec()).ok();
    }
}

/// A way back to a sender, and what the sender hears.
pub fn reply_to() -> (ReplyTo, Receiver<Vec<u8>>) {
    let (sender, heard) = channel();
    let peer = Peer { address: (Ipv4Addr::LOCALHOST, 7).into(), sent_to: None };
    (ReplyTo::new(Arc::new(Heard(sender)), peer), heard)
}
