//! A vehicle at the TLS TCP door: it sends reports with `Seq`, and gets the fate of each as an answer.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vagn_load::trust::Trust;
use vagn_wire::{Fate, Position, Report, VehicleId, ack, encode};

use crate::vagn::{Vagn, eventually};

/// A connection of one or more vehicles.
pub(crate) struct TcpVehicle {
    stream: TlsStream<TcpStream>,
    out: Vec<u8>,
    heard: Vec<u8>,
}

impl TcpVehicle {
    /// Connects. Fails when the service is gone.
    pub(crate) async fn connect(to: SocketAddr) -> std::io::Result<Self> {
        let config = Trust::Anyone.config(to).unwrap();
        let stream = TcpStream::connect(to).await?;
        let stream = TlsConnector::from(config).connect(to.ip().into(), stream).await?;
        Ok(Self { stream, out: Vec::new(), heard: Vec::new() })
    }

    /// Adds a report to those that `flush` sends.
    pub(crate) fn report(&mut self, id: &str, lat: f64, lon: f64, seq: u64) {
        self.say(id, lat, lon, seq, false);
    }

    /// Adds a report that may tell its own time to those that `flush` sends.
    pub(crate) fn timed_report(
        &mut self,
        id: &str,
        lat: f64,
        lon: f64,
        seq: u64,
        event_time_ms: Option<i64>,
    ) {
        let report = Report::new(VehicleId::new(id).unwrap(), Position::new(lat, lon).unwrap());
        encode(&Report { seq: Some(seq), event_time_ms, ..report }, &mut self.out);
    }

    /// Adds a report, with or without the emergency flag, to those that `flush` sends.
    pub(crate) fn say(&mut self, id: &str, lat: f64, lon: f64, seq: u64, emergency: bool) {
        let report = Report::new(VehicleId::new(id).unwrap(), Position::new(lat, lon).unwrap());
        encode(&Report { seq: Some(seq), emergency, ..report }, &mut self.out);
    }

    /// Adds bytes as they are to those that `flush` sends.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Sends the reports added so far.
    pub(crate) async fn flush(&mut self) -> std::io::Result<()> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        self.stream.flush().await
    }

    /// Returns the next answer: vehicle, `Seq`, fate. `None` when the connection is gone.
    pub(crate) async fn ack(&mut self) -> Option<(String, u64, Fate)> {
        self.answer().await.map(|(fate, _)| fate)
    }

    /// Returns the next answer, and the incident in it.
    pub(crate) async fn answer(&mut self) -> Option<((String, u64, Fate), Option<String>)> {
        loop {
            if let Some((ack, len)) = ack::decode(&self.heard).unwrap() {
                let answer = (ack.vehicle_id.as_str().to_owned(), ack.seq, ack.fate);
                let incident = ack.incident.map(str::to_owned);
                self.heard.drain(..len);
                return Some((answer, incident));
            }
            if !matches!(self.stream.read_buf(&mut self.heard).await, Ok(1..)) {
                return None;
            }
        }
    }
}

#[tokio::test]
async fn a_vehicle_that_numbers_its_reports_gets_the_fate_of_each() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let mut vehicle = TcpVehicle::connect(vagn.address("tcp")).await.unwrap();
    vehicle.report("bus", 1.0, 2.0, 7);
    vehicle.report("bus", 1.0, 2.0, 7);
    vehicle.flush().await.unwrap();
    assert_eq!(vehicle.ack().await, Some(("bus".into(), 7, Fate::Stored)));
    assert_eq!(vehicle.ack().await, Some(("bus".into(), 7, Fate::Duplicate)));
}

#[tokio::test]
async fn an_alarm_is_answered_once_it_is_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut vagn = Vagn::start(dir.path(), &[]);
    let mut vehicle = TcpVehicle::connect(vagn.address("tcp")).await.unwrap();
    vehicle.say("caller", 1.0, 2.0, 1, true);
    vehicle.flush().await.unwrap();
    assert_eq!(vehicle.ack().await, Some(("caller".into(), 1, Fate::Stored)));
    vagn.kill();
    let vagn = vagn.restart();
    eventually("the incident to be listed", async || {
        vagn.json("/api/v1/incidents").await.to_string().contains("\"caller\"")
    })
    .await;
}
