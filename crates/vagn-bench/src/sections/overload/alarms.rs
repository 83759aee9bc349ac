//! Vehicles that raise alarms over UDP.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use vagn_wire::{Position, Report, VehicleId};

use super::WITHIN;
use super::{COPIES, FLEET};
use crate::service::Service;

/// Alarms that are sent in each case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alarms {
    pub(super) vehicles: usize,
    /// Seconds between two copies of an alarm.
    pub(super) spacing_s: f64,
}

pub(super) fn vehicle_id(vehicle: usize) -> String {
    format!("00000000-0000-4000-9000-{vehicle:012x}")
}

/// A place whose latitude, the last number of a report with its flag in front, does not end as a set flag does.
fn place(vehicle: usize) -> (f64, f64) {
    let lat = 30.0 + vehicle as f64 * 1e-4;
    let steered = lat.to_be_bytes()[7] == 0xc3;
    (if steered { lat + 1e-9 } else { lat }, -97.0)
}

/// Makes the vehicles known: an alarm of an unknown vehicle has to stand back.
pub(super) fn introduce(service: &Service, vehicles: usize) -> anyhow::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("bind udp socket")?;
    for vehicle in 0..vehicles {
        socket.send_to(&report(vehicle, false, true)?, service.address("udp")?).context("send a report")?;
    }
    let started = Instant::now();
    while service.vehicles()? < u64::from(FLEET) + vehicles as u64 {
        ensure!(started.elapsed() < WITHIN, "vehicles that are to raise alarms do not become known");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Sends all alarms, evenly spread; gives the time when each copy left, in ms since 1970.
pub(super) fn send_all(udp: SocketAddr, alarms: Alarms, steered: bool) -> anyhow::Result<Vec<[i64; COPIES]>> {
    let Alarms { vehicles, spacing_s } = alarms;
    let socket = UdpSocket::bind("127.0.0.1:0").context("bind udp socket")?;
    let mut sent_ms = vec![[0; COPIES]; vehicles];
    let started = Instant::now();
    for copy in 0..COPIES {
        for (vehicle, sent_ms) in sent_ms.iter_mut().enumerate() {
            let due = spacing_s * (copy as f64 + vehicle as f64 / vehicles as f64);
            thread::sleep(Duration::from_secs_f64(due).saturating_sub(started.elapsed()));
            sent_ms[copy] = jiff::Timestamp::now().as_millisecond();
            socket.send_to(&report(vehicle, true, steered)?, udp).context("send an alarm")?;
        }
    }
    Ok(sent_ms)
}

/// Encodes a report in the original's layout, or with the flag in front.
fn report(vehicle: usize, emergency: bool, flag_last: bool) -> anyhow::Result<Vec<u8>> {
    let (lat, lon) = place(vehicle);
    let id = vehicle_id(vehicle);
    let position = Position::new(lat, lon).ok().context("a place on the globe")?;
    let id = VehicleId::new(&id).ok().context("a UUID is an id")?;
    let mut bytes = Vec::new();
    vagn_wire::encode(&Report { emergency, ..Report::new(id, position) }, &mut bytes);
    if !flag_last {
        // Behind the head of the map stand the pairs; the last is 11 bytes long.
        let flag = bytes.split_off(bytes.len() - 11);
        bytes.splice(1..1, flag);
        ensure!(bytes.last() != Some(&0xc3), "this place ends as a set flag does");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_the_same_with_its_flag_in_front() {
        for vehicle in 0..1000 {
            let last = report(vehicle, true, true).unwrap();
            let first = report(vehicle, true, false).unwrap();
            assert_eq!((last.len(), last.last()), (79, Some(&0xc3)));
            assert_ne!(first.last(), Some(&0xc3));
            assert_eq!(vagn_wire::decode(&first), vagn_wire::decode(&last));
        }
    }
}
