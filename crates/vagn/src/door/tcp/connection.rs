//! One connection: a TLS handshake, then objects in and acks out until one side has had enough.
//!
//! Reading and writing go on side by side. Between them lie the batches that wait for room, and then the batches without
//! known fates, a fixed number at most: a client that does not take its acks is first not read from and then closed, and holds
//! up no other client.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink, split};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::ack::Owed;
use super::frames::{Cut, Frames, Parcel};
use super::hold::Hold;
use super::limits::Limits;
use super::queue::{Space, Tail};
use crate::door::IsKnown;
use vagn_flow::allowance::Source;
use vagn_flow::descriptors::{Displaced, Place};
use vagn_flow::intake::Intake;
use vagn_flow::receipt::Receipt;
use vagn_http::elsewhere::do_on;
use vagn_http::socket::{self, KEPT_MAX};

/// Least and most room to read into at a time. An idle connection keeps no more than the least.
const ROOM_MIN: usize = 4 << 10;
const ROOM_MAX: usize = 64 << 10;

/// The parts that all connections of a door share.
pub(super) struct Service {
    pub(super) intake: Intake,
    pub(super) acceptor: TlsAcceptor,
    /// Where clients are let in.
    pub(super) handshakes: Option<Handle>,
    pub(super) limits: Limits,
    pub(super) is_known: IsKnown,
    pub(super) space: Space,
}

/// Way of one client's batches: their source, and the queue in which they wait for room.
struct WayIn {
    source: Source,
    tail: Tail,
}

/// The end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client closed it.
    Closed,
    /// The door stopped.
    Stopped,
    /// It vanished without saying so.
    Lost,
    /// The handshake took too long.
    HandshakeTimeout,
    /// The handshake failed.
    Handshake,
    /// No whole object for too long.
    Idle,
    /// A newcomer got its place.
    Displaced(Displaced),
    /// It stopped being msgpack.
    NotMsgpack,
    /// It did not take its acks.
    AcksUnread,
    /// The fates of its reports did not become known in time.
    Unanswered,
}

impl End {
    /// Returns the reason to count it under, unless all went well.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Closed | Self::Stopped => None,
            Self::Lost => Some("lost"),
            Self::HandshakeTimeout => Some("handshake_timeout"),
            Self::Handshake => Some("handshake_failed"),
            Self::Idle => Some("idle"),
            Self::Displaced(Displaced::Unasked) => Some("displaced"),
            Self::Displaced(Displaced::Idle) => Some("displaced_idle"),
            Self::NotMsgpack => Some("not_msgpack"),
            Self::AcksUnread => Some("acks_unread"),
            Self::Unanswered => Some("unanswered"),
        }
    }
}

/// A stream whose kernel keeps what its client does not take.
pub(super) trait Keeps {
    /// Lets the kernel keep it for so long.
    fn keep(&self, max: Duration);
}

impl Keeps for TcpStream {
    fn keep(&self, max: Duration) {
        socket::keep(self, max);
    }
}

/// Serves one client from its first byte to its last.
pub(super) async fn serve<S>(
    stream: S,
    place: &Place,
    service: Arc<Service>,
    mut stop: watch::Receiver<bool>,
) -> End
where
    S: AsyncRead + AsyncWrite + Keeps + Unpin + Send + 'static,
{
    let handshake = timeout(service.limits.handshake, service.acceptor.accept(stream));
    let shaken = tokio::select! {
        shaken = do_on(service.handshakes.as_ref(), handshake) => shaken,
        _ = stop.wait_for(|stop| *stop) => return End::Stopped,
        displaced = place.displaced() => return End::Displaced(displaced),
    };
    match shaken {
        Ok(Ok(stream)) => service.converse(stream, place, stop).await,
        Ok(Err(err)) => {
            tracing::debug!(error = %err, "failed to finish tls handshake");
            End::Handshake
        }
        Err(_) => End::HandshakeTimeout,
    }
}

impl Service {
    async fn converse<S>(&self, stream: TlsStream<S>, place: &Place, stop: watch::Receiver<bool>) -> End
    where
        S: AsyncRead + AsyncWrite + Keeps + Unpin,
    {
        stream.get_ref().0.keep(self.limits.kept);
        let (mut reader, mut writer) = split(stream);
        let (owe, owed) = mpsc::channel(self.limits.outstanding);
        let (tail, head) = self.space.queue();
        let way = WayIn { source: place.source(), tail };
        let (read, (), written) = tokio::join!(
            self.read(&mut reader, way, owe.clone(), (place, stop)),
            head.lead(&self.intake, owe),
            self.write(&mut writer, owed),
        );
        let end = match written {
            Ok(()) => self.say_goodbye(&mut reader, &mut writer, read).await,
            Err(end) => end,
        };
        // Nobody counts what the kernel has of a connection that is closed, so it is not to have it for long.
        reader.unsplit(writer).get_ref().0.keep(KEPT_MAX);
        end
    }

    /// Passes on what comes in until there is a reason to end. Drops the queue's end and `owe` then, so that the other halves
    /// end as well.
    async fn read(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        way: WayIn,
        owe: mpsc::Sender<Owed>,
        (place, mut stop): (&Place, watch::Receiver<bool>),
    ) -> End {
        let mut hold = Hold::new(place, &self.is_known);
        let mut frames = Frames::new(self.intake.guard().clone(), way.source);
        let mut room = ROOM_MIN;
        let mut patience = Patience::new(self.limits.idle);
        let end = loop {
            match frames.cut() {
                Cut::Parcel(parcel) => {
                    hold.note(&parcel.batch);
                    self.pass_on(*parcel, &way).await;
                    patience.renew(self.limits.idle);
                    continue;
                }
                Cut::Broken => break End::NotMsgpack,
                // Told by the clock too: a client that sends without a pause would never let the wait below run out.
                Cut::More if Instant::now() >= patience.until => break patience.end,
                Cut::More => {}
            }
            tokio::select! {
                read = timeout_at(patience.until, fill(stream, frames.bytes(), &mut room)) => match read {
                    Ok(Ok(0)) => break End::Closed,
                    Ok(Ok(_)) => {}
                    Ok(Err(_)) => break End::Lost,
                    Err(_) => break patience.end,
                },
                _ = stop.wait_for(|stop| *stop), if patience.end == End::Idle => patience.stop(self.limits.linger),
                () = owe.closed() => break End::AcksUnread,
                displaced = place.displaced() => break End::Displaced(displaced),
            }
        };
        if let Some(rest) = frames.rest() {
            self.pass_on(rest, &way).await;
        }
        end
    }

    /// Offers first and only then queues: no alarm waits for room or behind unread acks.
    async fn pass_on(&self, Parcel { batch, asked }: Parcel, WayIn { source, tail }: &WayIn) {
        if batch.is_empty() && asked.is_empty() {
            return;
        }
        let batch = batch.by(Some(*source));
        if asked.is_empty() {
            return tail.push(self.intake.offer(batch, None), None).await;
        }
        let (receipt, answer) = Receipt::new(batch.len());
        tail.push(self.intake.offer(batch, Some(receipt)), Some(Owed { asked, answer })).await;
    }

    /// Writes acks until the reader is done and nothing is owed.
    async fn write(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        mut owed: mpsc::Receiver<Owed>,
    ) -> Result<(), End> {
        let mut out = Vec::new();
        while let Some(Owed { asked, answer }) = owed.recv().await {
            let Ok(Ok(outcomes)) = timeout(self.limits.answer, answer).await else {
                return Err(End::Unanswered);
            };
            out.clear();
            for request in &asked {
                request.answer(&outcomes, &mut out);
            }
            match timeout(self.limits.write, send(stream, &out)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(End::Lost),
                Err(_) => return Err(End::AcksUnread),
            }
        }
        Ok(())
    }

    /// Ends our side with close_notify. To close a socket with unread bytes would reset it, and the last acks with it: so
    /// a client that has not ended its own side is read from a little longer.
    async fn say_goodbye(
        &self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
        end: End,
    ) -> End {
        let Limits { write, farewell, linger, .. } = self.limits;
        let within = if matches!(end, End::Displaced(_)) { farewell } else { write };
        let said = matches!(timeout(within, writer.shutdown()).await, Ok(Ok(())));
        if said && !matches!(end, End::Closed | End::Lost) {
            // Whatever comes of it: this is a courtesy.
            timeout(linger, copy(reader, &mut sink())).await.ok();
        }
        end
    }
}

/// Time that a connection may still go without a whole object, and its end when it does.
struct Patience {
    until: Instant,
    end: End,
}

impl Patience {
    fn new(idle: Duration) -> Self {
        Self { until: Instant::now() + idle, end: End::Idle }
    }

    fn renew(&mut self, idle: Duration) {
        if self.end == End::Idle {
            self.until = Instant::now() + idle;
        }
    }

    /// From now on only what is already on its way is waited for.
    fn stop(&mut self, linger: Duration) {
        *self = Self { until: Instant::now() + linger, end: End::Stopped };
    }
}

/// Reads once, with room that follows what the client sends: a thousand idle connections must not cost a thousand times
/// the room of a busy one.
async fn fill(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
    room: &mut usize,
) -> std::io::Result<usize> {
    if bytes.capacity() > 4 * *room {
        bytes.shrink_to(*room);
    }
    bytes.reserve(*room);
    let read = stream.read_buf(bytes).await?;
    *room = if read >= *room { (*room * 2).min(ROOM_MAX) } else { (*room / 2).max(read).max(ROOM_MIN) };
    Ok(read)
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}
