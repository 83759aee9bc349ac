//! The TCP door: accepts TLS connections, as many as it may, and gives each a task of its own.
//!
//! A connection that panics loses itself only. The listening sockets outlive the door, so that a restart refuses no client;
//! its connections end with it, and clients come again. A door that is stopped refuses clients, so that they go elsewhere.

mod ack;
mod connection;
mod frames;
mod hold;
mod limits;
mod ports;
mod queue;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_rustls::TlsAcceptor;
use vagn_otp::{Failure, TaskContext};

use self::connection::{End, Service, serve};
use self::limits::Limits;
#[cfg(test)]
pub(super) use self::ports::TcpPorts;
pub(super) use self::ports::bind;
use self::queue::Space;
use super::DoorParts;
use crate::config::TcpSettings;
use prometheus_client::metrics::gauge::Gauge;
use vagn_flow::batch::{Origin, Pressure};
use vagn_flow::descriptors::{Places, Refusal};
use vagn_flow::metrics::DoorMetrics;
use vagn_http::{listener, socket};

/// Senders wait for their answers, so a full service slows them down.
const ORIGIN: Origin = Origin { door: ports::TCP, pressure: Pressure::Wait };

/// After a failed accept: it fails at once again while files or memory are short.
const FAULT_PAUSE: Duration = Duration::from_millis(50);

/// Time between two signs of life.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// The listeners of all addresses, and what their connections share.
pub(super) struct TcpDoor {
    listeners: Vec<std::net::TcpListener>,
    service: Arc<Service>,
    metrics: DoorMetrics,
    places: Arc<Places>,
    /// Connections that are open now.
    open: Gauge,
}

impl TcpDoor {
    pub(super) fn new(
        listeners: Vec<std::net::TcpListener>,
        settings: &TcpSettings,
        parts: &DoorParts,
    ) -> Self {
        let service = Service {
            intake: parts.intake.clone(),
            acceptor: TlsAcceptor::from(parts.tls.clone()),
            handshakes: parts.handshakes.clone(),
            limits: Limits::new(settings),
            is_known: parts.is_known.clone(),
            space: Space::default(),
        };
        let open = parts.registry.register("connections_open", "Open TCP connections", Gauge::default());
        Self {
            listeners,
            service: Arc::new(service),
            metrics: parts.metrics.clone(),
            places: parts.tcp_places.clone(),
            open,
        }
    }

    /// Accepts until it is told to stop, then lets every connection finish what it has read.
    pub(super) async fn run(&self, ctx: &TaskContext) -> Result<(), Failure> {
        let listeners = self.open()?;
        let (stop, stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut beat = tokio::time::interval(BEAT_EVERY);
        ctx.ready();
        loop {
            tokio::select! {
                () = ctx.stopping() => break,
                _ = beat.tick() => ctx.beat().await,
                Some(ended) = connections.join_next() => self.ended(ended),
                accepted = poll_fn(|cx| poll_accept(&listeners, cx)) => match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer, &mut connections, &stopping),
                    Err(err) => self.fault(err).await,
                },
            }
        }
        let _idle = ctx.idle();
        for listener in listeners {
            listener::close(listener);
        }
        stop.send_replace(true);
        while let Some(ended) = connections.join_next().await {
            self.ended(ended);
        }
        Ok(())
    }

    fn open(&self) -> io::Result<Vec<TcpListener>> {
        self.listeners.iter().map(listener::open).collect()
    }

    fn admit(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        connections: &mut JoinSet<End>,
        stopping: &watch::Receiver<bool>,
    ) {
        let place = match self.places.take(peer.ip()) {
            Ok(place) => place,
            Err(Refusal::Full) => return self.refused("too_many"),
            Err(Refusal::SourceFull) => return self.refused("too_many_of_source"),
        };
        // Acks are small, and a client waits for each of them. Without it they are late, not wrong.
        stream.set_nodelay(true).ok();
        socket::tune(&stream);
        let service = self.service.clone();
        let stopping = stopping.clone();
        let open = Open::new(&self.open);
        connections.spawn(async move {
            let end = serve(stream, &place, service, stopping).await;
            tracing::debug!(%peer, ?end, "connection ended");
            drop((open, place));
            end
        });
    }

    fn ended(&self, ended: Result<End, JoinError>) {
        match ended {
            Ok(end) => {
                if let Some(reason) = end.reason() {
                    self.refused(reason);
                }
            }
            Err(err) => {
                tracing::error!(error = %err, "a connection crashed");
                self.refused("crashed");
            }
        }
    }

    fn refused(&self, reason: &'static str) {
        self.metrics.refuse(reason);
    }

    async fn fault(&self, err: io::Error) {
        self.metrics.fault("tcp_accept");
        tracing::warn!(error = %err, "failed to accept a connection");
        tokio::time::sleep(FAULT_PAUSE).await;
    }
}

/// Counts a connection as open while it lives, however it ends.
struct Open(Gauge);

impl Open {
    fn new(open: &Gauge) -> Self {
        open.inc();
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn poll_accept(listeners: &[TcpListener], cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
    let ready = listeners.iter().map(|listener| listener.poll_accept(cx)).find(Poll::is_ready);
    ready.unwrap_or(Poll::Pending)
}
