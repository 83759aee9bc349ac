//! Viewers of the map, as far as the service notices them: connections that ask for tiles, or follow a stream.

use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::tiles::tile;
use crate::https::Https;
use crate::service::Service;

/// Zoom of the tiles that a map asks for, and their number in each direction.
const ZOOM: u32 = 11;
const WIDE: [u64; 2] = [3, 2];

/// Half the side of the box of a stream, in degrees.
const HALF_BOX: f64 = 0.25;

/// Stack of a thread, which only waits.
const STACK: usize = 256 << 10;

/// Numbers of viewers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Audience {
    pub(super) maps: u32,
    pub(super) streams: u32,
}

impl Audience {
    pub(super) fn len(self) -> u32 {
        self.maps + self.streams
    }
}

/// Viewers that look, each on a thread of its own, until they are closed.
pub(super) struct Viewers {
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    sockets: Vec<TcpStream>,
    threads: Vec<JoinHandle<()>>,
}

impl Viewers {
    /// Opens viewers of the area around a place.
    ///
    /// # Errors
    /// When the service cannot be reached.
    pub(super) fn open(
        service: &Service,
        (lat, lon): (f64, f64),
        audience: Audience,
    ) -> anyhow::Result<Self> {
        let address = service.address("http")?;
        let mut viewers =
            Self { stop: Arc::default(), bytes: Arc::default(), sockets: Vec::new(), threads: Vec::new() };
        let (x, y) = tile(lat, lon, ZOOM);
        let paths: Arc<[String]> = (0..WIDE[0])
            .flat_map(|dx| (0..WIDE[1]).map(move |dy| format!("/tiles/{ZOOM}/{}/{}.bin", x + dx, y + dy)))
            .collect();
        for number in 0..audience.maps {
            let paths = paths.clone();
            // Spread over the second, as people open their maps whenever they like.
            let phase = Duration::from_secs(1) * number / audience.maps;
            viewers.add(Https::connect(address)?, move |https, looks| look(https, &paths, phase, looks))?;
        }
        let [west, south, east, north] = [lon - HALF_BOX, lat - HALF_BOX, lon + HALF_BOX, lat + HALF_BOX]
            .map(|side| side.clamp(-180.0, 180.0));
        let path =
            format!("/api/v1/positions/stream?bbox={west},{},{east},{}", south.max(-90.0), north.min(90.0));
        for _ in 0..audience.streams {
            let path = path.clone();
            viewers.add(Https::connect(address)?, move |https, looks| {
                https.follow(&path, |bytes| looks.take(bytes)).ok();
            })?;
        }
        // Until every one of them is there.
        thread::sleep(Duration::from_secs(2));
        viewers.bytes.store(0, Ordering::Relaxed);
        Ok(viewers)
    }

    fn add(
        &mut self,
        mut https: Https,
        work: impl FnOnce(&mut Https, &Looks) + Send + 'static,
    ) -> anyhow::Result<()> {
        self.sockets.push(https.socket().context("keep a socket")?);
        let looks = Looks { stop: self.stop.clone(), bytes: self.bytes.clone() };
        let thread = thread::Builder::new().stack_size(STACK).spawn(move || work(&mut https, &looks));
        self.threads.push(thread.context("start a viewer")?);
        Ok(())
    }

    /// Closes all viewers. Returns the bytes that they were answered since they were open.
    pub(super) fn close(self) -> f64 {
        let bytes = self.bytes.load(Ordering::Relaxed) as f64;
        self.stop.store(true, Ordering::Relaxed);
        for socket in &self.sockets {
            // Ends a read that waits; one that the service has closed is closed.
            socket.shutdown(Shutdown::Both).ok();
        }
        for thread in self.threads {
            thread.join().ok();
        }
        bytes
    }
}

/// The part that the thread of a viewer shares with the others.
struct Looks {
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
}

impl Looks {
    /// Counts bytes that were answered. Returns false when it is time to end.
    fn take(&self, bytes: usize) -> bool {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        !self.stop.load(Ordering::Relaxed)
    }
}

fn look(https: &mut Https, paths: &[String], phase: Duration, looks: &Looks) {
    let start = Instant::now() + phase;
    for second in 0.. {
        thread::sleep((start + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
        for path in paths {
            let Ok((_, body)) = https.get(path) else { return };
            if !looks.take(body.len()) {
                return;
            }
        }
    }
}
