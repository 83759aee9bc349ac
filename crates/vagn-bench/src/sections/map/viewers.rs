//! Viewers of the map, as far as the service notices them: connections that ask for tiles, or follow a stream.
//!
//! They speak HTTP/2 and name the tags of what they have, as a browser does. All of them live on one thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use h2::RecvStream;
use h2::client::{self, SendRequest};
use http::{HeaderValue, Request, StatusCode, header};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::{MissedTickBehavior, interval_at, timeout};
use tokio_rustls::TlsConnector;
use vagn_load::trust::Trust;

use super::tiles::tile;
use crate::service::Service;

/// Zoom of the tiles that a map asks for, and their number in each direction.
const ZOOM: u32 = 11;
const WIDE: [u64; 2] = [3, 2];

/// Half the side of the box of a stream, in degrees.
const HALF_BOX: f64 = 0.25;

/// Bytes of an answer that may be on their way: enough that the service never waits for a viewer.
const WINDOW: u32 = 4 << 20;

/// Longest wait for a viewer to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// Time until every viewer has begun.
const BEGIN_WITHIN: Duration = Duration::from_secs(2);

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

/// Viewers that look until they are closed.
pub(super) struct Viewers {
    runtime: Runtime,
    seen: Seen,
}

/// Answers that all viewers got so far.
#[derive(Debug, Clone, Default)]
struct Seen {
    bytes: Arc<AtomicU64>,
    /// Tiles that were refused for now.
    refused: Arc<AtomicU64>,
    broken: Arc<AtomicU64>,
}

/// Answers to all viewers of an audience.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answers {
    pub(super) bytes: f64,
    /// Tiles that the service was too busy for.
    pub(super) refused: u64,
}

impl Viewers {
    /// Opens viewers of the area around a place.
    ///
    /// # Errors
    /// When the service cannot be reached.
    pub(super) fn open(service: &Service, place: (f64, f64), audience: Audience) -> anyhow::Result<Self> {
        let address = service.address("http")?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let viewers = Self { runtime: runtime.context("start the viewers")?, seen: Seen::default() };
        let tls = Trust::Loopback.config(address)?;
        let mut tls = Arc::unwrap_or_clone(tls);
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let tls = TlsConnector::from(Arc::new(tls));
        let tiles: Arc<[String]> = tiles_around(address, place).into();
        for number in 0..audience.maps {
            let viewer = viewers.connect(address, &tls)?;
            // Spread over the second, as people open their maps whenever they like.
            let phase = Duration::from_secs(1) * number / audience.maps;
            let (tiles, seen) = (tiles.clone(), viewers.seen.clone());
            viewers.runtime.spawn(async move { seen.until_broken(look(viewer, &tiles, phase, &seen)).await });
        }
        let stream = stream_around(address, place);
        for _ in 0..audience.streams {
            let viewer = viewers.connect(address, &tls)?;
            let (stream, seen) = (stream.clone(), viewers.seen.clone());
            viewers.runtime.spawn(async move { seen.until_broken(follow(viewer, &stream, &seen)).await });
        }
        std::thread::sleep(BEGIN_WITHIN);
        for count in [&viewers.seen.bytes, &viewers.seen.refused] {
            count.store(0, Ordering::Relaxed);
        }
        Ok(viewers)
    }

    fn connect(&self, address: SocketAddr, tls: &TlsConnector) -> anyhow::Result<SendRequest<Bytes>> {
        self.runtime.block_on(async {
            let connect = timeout(CONNECT_WITHIN, connect(address, tls));
            connect.await.with_context(|| format!("connect to https {address} in time"))?
        })
    }

    /// Closes all viewers. Returns the answers that they got since they were open.
    ///
    /// # Errors
    /// When one of them was cut off meanwhile.
    pub(super) fn close(self) -> anyhow::Result<Answers> {
        let [bytes, refused, broken] =
            [self.seen.bytes, self.seen.refused, self.seen.broken].map(|count| count.load(Ordering::Relaxed));
        self.runtime.shutdown_background();
        ensure!(broken == 0, "{broken} viewers were cut off");
        Ok(Answers { bytes: bytes as f64, refused })
    }
}

impl Seen {
    fn count(&self, bytes: &Bytes) {
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    async fn until_broken(&self, looking: impl Future<Output = anyhow::Result<()>>) {
        if let Err(err) = looking.await {
            eprintln!("bench: a viewer was cut off: {err:#}");
            self.broken.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn tiles_around(address: SocketAddr, (lat, lon): (f64, f64)) -> Vec<String> {
    let (x, y) = tile(lat, lon, ZOOM);
    // The map goes on behind its edge.
    let column = |dx| (0..WIDE[1]).map(move |dy| ((x + dx) % (1 << ZOOM), y + dy));
    let tiles = (0..WIDE[0]).flat_map(column);
    tiles.map(|(x, y)| format!("https://{address}/tiles/{ZOOM}/{x}/{y}.bin")).collect()
}

fn stream_around(address: SocketAddr, (lat, lon): (f64, f64)) -> String {
    let [west, east] = [lon - HALF_BOX, lon + HALF_BOX].map(|side| side.clamp(-180.0, 180.0));
    let [south, north] = [lat - HALF_BOX, lat + HALF_BOX].map(|side| side.clamp(-90.0, 90.0));
    format!("https://{address}/api/v1/positions/stream?bbox={west},{south},{east},{north}")
}

async fn connect(address: SocketAddr, tls: &TlsConnector) -> anyhow::Result<SendRequest<Bytes>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let socket = tls.connect(ServerName::from(address.ip()), socket).await?;
    let (requests, connection) = client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(socket)
        .await?;
    Handle::current().spawn(connection);
    Ok(requests)
}

/// Asks for all tiles at once, every second, and ends when that fails.
async fn look(
    viewer: SendRequest<Bytes>,
    tiles: &[String],
    phase: Duration,
    seen: &Seen,
) -> anyhow::Result<()> {
    let mut tags = vec![None; tiles.len()];
    let mut seconds = interval_at(tokio::time::Instant::now() + phase, Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        let asked = tiles.iter().zip(tags).map(|(tile, tag)| look_at(viewer.clone(), tile, tag, seen));
        tags = try_join_all(asked).await?;
    }
}

/// Asks for one tile, unless it is still the one with this tag. Returns the tag of the one that is there.
async fn look_at(
    viewer: SendRequest<Bytes>,
    tile: &str,
    tag: Option<HeaderValue>,
    seen: &Seen,
) -> anyhow::Result<Option<HeaderValue>> {
    let mut request = Request::get(tile);
    if let Some(tag) = tag {
        request = request.header(header::IF_NONE_MATCH, tag);
    }
    let (head, mut body) = ask(viewer, request.body(())?).await?;
    while let Some(piece) = body.data().await {
        take(&piece?, &mut body, seen)?;
    }
    match head.status {
        StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => {}
        StatusCode::SERVICE_UNAVAILABLE => _ = seen.refused.fetch_add(1, Ordering::Relaxed),
        other => bail!("{tile} was answered with {other}"),
    }
    Ok(head.headers.get(header::ETAG).cloned())
}

/// Follows a stream, and ends when it does.
async fn follow(viewer: SendRequest<Bytes>, stream: &str, seen: &Seen) -> anyhow::Result<()> {
    let (head, mut body) = ask(viewer, Request::get(stream).body(())?).await?;
    ensure!(head.status == StatusCode::OK, "{stream} was answered with {}", head.status);
    while let Some(piece) = body.data().await {
        take(&piece?, &mut body, seen)?;
    }
    bail!("{stream} ended")
}

async fn ask(
    viewer: SendRequest<Bytes>,
    request: Request<()>,
) -> anyhow::Result<(http::response::Parts, RecvStream)> {
    let (answer, _) = viewer.ready().await?.send_request(request, true)?;
    Ok(answer.await?.into_parts())
}

/// Counts a piece, and lets the service send as much again.
fn take(piece: &Bytes, body: &mut RecvStream, seen: &Seen) -> anyhow::Result<()> {
    seen.count(piece);
    body.flow_control().release_capacity(piece.len())?;
    Ok(())
}
