//! The server under the API and the ops pages: accepts connections, bounds the cost of each, and lets requests in flight
//! finish on a stop.
//!
//! HTTP/1.1 and HTTP/2 on one port, as TLS negotiates. The listeners are bound outside, so a restart of this child loses no
//! waiting connection. Every wait has a limit: the handshake, a request's head, an idle connection, the stop.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::AsyncRead;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};
use vagn_otp::{ChildSpec, TaskContext};

use super::admission::{Way, admit};
use super::bare::{Dressing, OwnAnswers};
use super::caller::Caller;
use super::elsewhere::do_on;
use super::forwarded::TrustedProxies;
use super::gathering::Gathering;
use super::memory::Memory;
use super::socket::{Output, Socket};
pub use super::station::First;
use super::station::Station;
use super::talk::{Talk, reason, report_crash};
use super::watch::StreamExecutor;
use super::{hint, listener, rest, socket};
use vagn_flow::descriptors::{Place, Places, Refusal};
use vagn_flow::metrics::DoorMetrics;

/// Limits for one connection.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest TLS handshake.
    pub handshake: Duration,
    /// Longest wait for a request's head; an HTTP/1.1 connection may also idle this long.
    pub head: Duration,
    /// Longest time without a new request before a connection is closed, unless an answer without an end is being read on
    /// it. Must be longer than any other request may take.
    pub idle: Duration,
    /// Longest time in which a peer takes nothing of an answer that waits for it.
    pub untaken: Duration,
    /// Longest time that an idle connection has for its end when a newcomer got its place: it may hold a descriptor only so long.
    pub farewell: Duration,
    /// Longest time for requests in flight on a stop.
    pub stop: Duration,
    /// Memory of answers, which all servers share.
    pub memory: Arc<Memory>,
    /// The pages are the operator's alone, and so have room when others have none.
    pub is_operators: bool,
    /// Proxies whose word about their clients is taken.
    pub proxies: TrustedProxies,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            untaken: Duration::from_secs(30),
            farewell: Duration::from_secs(1),
            stop: Duration::from_secs(5),
            memory: Arc::default(),
            is_operators: false,
            proxies: TrustedProxies::default(),
        }
    }
}

/// Parts that a server is made of.
pub struct ServerParts {
    /// Answers the requests.
    pub router: Router,
    /// Certificate and key, whose ALPN names `h2` and `http/1.1`; `None` for plain HTTP, on loopback.
    pub tls: Option<Arc<ServerConfig>>,
    /// Limits of each connection.
    pub limits: Limits,
    /// Places for its connections; more are closed at once.
    pub places: Arc<Places>,
    /// Counts what goes wrong.
    pub metrics: DoorMetrics,
    /// Runtime on which connections go on once a route was asked that [gives way](crate::route::Route::gives_way), as long as nothing on them
    /// is to [come first](Liveness::come_first): its threads should come after all others. `None`: they stay where they are.
    pub behind: Option<Handle>,
    /// Runtime on which clients are let in; `None`: that of the server.
    pub handshakes: Option<Handle>,
}

/// A server; its connections share it.
pub struct Server {
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    places: Arc<Places>,
    metrics: DoorMetrics,
    behind: Option<Handle>,
    handshakes: Option<Handle>,
}

/// Tells whether a connection is alive, among the extensions of its requests; for answers that go on without an end.
#[derive(Debug, Clone)]
pub struct Liveness {
    /// Signs of life: requests, and pieces that the connection took of an answer without an end.
    signs: Arc<AtomicU64>,
    station: Station,
    stopped: watch::Receiver<bool>,
}

/// Longest silence of the accept loop, whose turns take a second at most; after that it counts as hung.
const WATCHDOG: Duration = Duration::from_secs(10);

/// Most bytes of a stream of HTTP/2 that wait for the socket.
const SEND_BUFFER_MAX: usize = 64 << 10;

/// Makes a child of the server, which accepts from `listeners`; they stay bound over its restarts.
pub fn child(name: &str, server: Arc<Server>, listeners: Vec<std::net::TcpListener>) -> ChildSpec {
    let stop = server.limits.stop;
    let listeners = Arc::new(listeners);
    let task = ChildSpec::task(name, move |ctx: TaskContext| {
        let server = server.clone();
        let listeners = listeners.clone();
        async move {
            let listeners = listeners.iter().map(listener::open).collect::<io::Result<_>>()?;
            ctx.ready();
            server.serve(listeners, ctx.stopping(), || ctx.beat()).await;
            Ok(())
        }
    });
    task.watchdog(WATCHDOG).shutdown(stop + Duration::from_secs(1))
}

impl Server {
    /// Makes a server of its parts.
    pub fn new(parts: ServerParts) -> Arc<Self> {
        let ServerParts { router, tls, limits, places, metrics, behind, handshakes } = parts;
        Arc::new(Self {
            router,
            tls: tls.map(TlsAcceptor::from),
            limits,
            places,
            metrics,
            behind,
            handshakes,
        })
    }

    /// Serves until `stopping` resolves, then until the requests in flight are done or the stop limit is reached. Calls
    /// `beat` at each turn of the loop, at least once a second.
    pub(crate) async fn serve<B: Future<Output = ()>>(
        self: &Arc<Self>,
        listeners: Vec<TcpListener>,
        stopping: impl Future<Output = ()>,
        beat: impl Fn() -> B,
    ) {
        let (stop, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        tokio::pin!(stopping);
        loop {
            beat().await;
            tokio::select! {
                () = &mut stopping => break,
                Some(ended) = connections.join_next() => note(ended),
                accepted = accept(&listeners) => match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer, &mut connections, &stopped),
                    Err(err) => self.pause(&err).await,
                },
                () = sleep(Duration::from_secs(1)) => {}
            }
        }
        // Nothing more is accepted, while what is in flight goes on.
        for listener in listeners {
            listener::close(listener);
        }
        stop.send_replace(true);
        self.drain(connections).await;
    }

    /// Serves a connection if there is a place for it, and closes it at once if not: a client that waits would not know for what.
    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        connections: &mut JoinSet<()>,
        stopped: &watch::Receiver<bool>,
    ) {
        let place = match self.places.take(peer.ip()) {
            Ok(place) => Arc::new(place),
            Err(Refusal::Full) => return self.refused("http_too_many"),
            Err(Refusal::SourceFull) => return self.refused("http_too_many_of_source"),
        };
        let connection = self.clone().connection(stream, peer, place.clone(), stopped.clone());
        connections.spawn(async move {
            connection.await;
            drop(place);
        });
    }

    /// Waits after a failed accept. The process is probably out of file descriptors, and trying again at once would only
    /// burn the processor.
    async fn pause(&self, err: &io::Error) {
        warn!(error = %err, "failed to accept a connection");
        self.metrics.fault("http_accept");
        sleep(Duration::from_millis(100)).await;
    }

    async fn drain(&self, mut connections: JoinSet<()>) {
        let all = async {
            while let Some(ended) = connections.join_next().await {
                note(ended);
            }
        };
        if timeout(self.limits.stop, all).await.is_err() {
            warn!(
                connections = connections.len(),
                "requests in flight outlasted the stop limit and were cut off"
            );
        }
        connections.shutdown().await;
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        place: Arc<Place>,
        stopped: watch::Receiver<bool>,
    ) {
        socket::tune(&stream);
        let Some(tls) = &self.tls else { return self.talk(Socket::new(stream), peer, place, stopped).await };
        let handshake = timeout(self.limits.handshake, handshake(tls.clone(), stream));
        let shaken = tokio::select! {
            shaken = do_on(self.handshakes.as_ref(), handshake) => shaken,
            displaced = place.displaced() => return self.refused(reason(displaced)),
        };
        match shaken {
            Ok(Ok(Some(tls))) => self.talk(tls, peer, place, stopped).await,
            Ok(Ok(None)) => self.refused("http_plain"),
            Ok(Err(err)) => {
                debug!(%peer, error = %err, "failed to finish tls handshake");
                self.refused("http_handshake");
            }
            Err(_) => {
                debug!(%peer, "tls handshake took too long");
                self.refused("http_handshake_timeout");
            }
        }
    }

    fn refused(&self, reason: &'static str) {
        self.metrics.refuse(reason);
    }

    /// Answers the requests of one connection until its end, its idleness or the stop.
    async fn talk<S>(&self, stream: S, peer: SocketAddr, place: Arc<Place>, stopped: watch::Receiver<bool>)
    where
        S: Output + AsyncRead + Send + 'static,
    {
        let caller = Caller::new(self.limits.memory.clone(), peer.ip());
        let station = Station::new(self.behind.clone());
        let liveness =
            Liveness { signs: caller.signs().clone(), station: station.clone(), stopped: stopped.clone() };
        let router = TowerToHyperService::new(self.router.clone());
        let signs = liveness.signs.clone();
        let watched = caller.clone();
        let limits = &self.limits;
        let way = Way {
            is_operators: limits.is_operators,
            is_tls: self.tls.is_some(),
            proxies: limits.proxies.trusts(peer.ip()).then(|| limits.proxies.clone()),
        };
        let held = place.clone();
        let answers: Arc<OwnAnswers> = Arc::default();
        let output = Gathering::new(stream, &caller);
        let stream = Dressing::new(output.clone(), answers.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            liveness.sign();
            let own = answers.begin(request.version());
            request.extensions_mut().insert(liveness.clone());
            let admitted = admit(&caller, &mut request, &way);
            let (request, rest) = rest::lend(request, &place);
            let answered = admitted.map(|admitted| (admitted, router.call(request)));
            async move {
                let mut answer = match answered {
                    Ok((admitted, answered)) => admitted.answer(answered.await?),
                    Err(refusal) => *refusal,
                };
                answer.body_mut().keep(rest.pass_over().await, own);
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = self.http(&station).serve_connection(TokioIo::new(stream), service).into_owned();
        let talk = Talk {
            connection: Box::pin(connection),
            output,
            peer,
            signs,
            stopped,
            idle: self.limits.idle,
            caller: watched,
            untaken: self.limits.untaken,
            stuck: None,
            end_by: None,
            farewell: self.limits.farewell,
            place: held,
            metrics: self.metrics.clone(),
        };
        station.go_between(talk, Talk::go_on_at).await.unwrap_or_else(report_crash);
    }

    /// Returns the speaker of HTTP on a connection, with all its answers at this station.
    fn http(&self, station: &Station) -> Builder<StreamExecutor> {
        let Limits { untaken, memory, head, handshake, .. } = &self.limits;
        let mut http = Builder::new(StreamExecutor::new(*untaken, memory.clone(), station.clone()));
        http.http1().timer(TokioTimer::new()).header_read_timeout(*head).max_buf_size(64 << 10);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(128)
            .max_header_list_size(16 << 10)
            .max_send_buf_size(SEND_BUFFER_MAX)
            // A peer that is gone without a word answers no ping, and so does not keep its connection.
            .keep_alive_interval(*head)
            .keep_alive_timeout(*handshake);
        http
    }
}

impl Liveness {
    /// Notes that the connection is in use. An answer without an end calls this whenever it is asked for its next piece,
    /// which ceases when the peer does not read.
    pub fn sign(&self) {
        self.signs.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets the connection give way to all others from now on, unless something on it is to come first.
    pub(crate) fn give_way(&self) {
        self.station.give_way();
    }

    /// Keeps the connection from giving way until this is dropped: for answers that must not come after those to clients that only look.
    pub fn come_first(&self) -> First {
        self.station.come_first()
    }

    /// Resolves when the server stops, so that no answer goes on.
    pub async fn stopping(&mut self) {
        // A server that is gone has stopped, too.
        self.stopped.wait_for(|stop| *stop).await.ok();
    }
}

/// Returns `None` when the caller spoke plain HTTP and has been told so.
async fn handshake(
    tls: TlsAcceptor,
    mut stream: TcpStream,
) -> io::Result<Option<TlsStream<Socket<TcpStream>>>> {
    stream.set_nodelay(true)?;
    if hint::is_plain_http(&stream).await? {
        hint::answer(&mut stream).await?;
        return Ok(None);
    }
    tls.accept(Socket::new(stream)).await.map(Some)
}

/// Waits for the next connection on any of the listeners.
async fn accept(listeners: &[TcpListener]) -> io::Result<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|cx: &mut Context<'_>| {
        let ready = listeners.iter().map(|listener| listener.poll_accept(cx)).find(Poll::is_ready);
        ready.unwrap_or(Poll::Pending)
    })
    .await
}

fn note(ended: Result<(), JoinError>) {
    ended.unwrap_or_else(report_crash);
}

#[cfg(test)]
mod tests;
