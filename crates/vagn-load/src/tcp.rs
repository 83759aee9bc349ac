//! Sending over TCP with TLS, and counting the answers.
//!
//! Reports that carry `Seq` are answered, each with its fate. Answers are read while reports are written. The number of
//! reports without an answer is limited, which bounds the number that a stop of either side can leave open. The source must
//! ask for answers; otherwise sending never ends.

use std::{cell::Cell, collections::BTreeMap, io, net::SocketAddr, sync::atomic::Ordering, time::Duration};

use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use vagn_wire::{
    Fate,
    ack::{self, Ack, BadAck},
};

use crate::{
    source::{Batch, NAP_MAX, Next, Source, Tally},
    target::{Target, TargetError},
    trace::TraceError,
    trust::{Trust, TrustError},
    udp::{Sent, Watch},
};

/// Most reports written at once.
const BATCH_MAX: usize = 256;

/// Limit for connecting and for the TLS handshake, each.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Room for answers that are being read, in bytes.
const READ_BUFFER: usize = 64 * 1024;

/// Settings of a connection that sends.
#[derive(Debug, Clone)]
pub struct TcpSettings {
    /// Certificates that are believed.
    pub trust: Trust,
    /// Most reports without an answer at a time, at least 1.
    pub window: usize,
    /// Longest wait for an answer while some are outstanding.
    pub answer_within: Duration,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self { trust: Trust::Loopback, window: 16 * 1024, answer_within: Duration::from_secs(10) }
    }
}

/// Reason why nothing, or nothing more, could be sent.
#[derive(Debug, Error)]
pub enum TcpError {
    /// The target has no address.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The server is not believed.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// No server answers there.
    #[error("cannot connect to tcp {0}; is `vagn serve` running?")]
    Connect(Target, #[source] io::Error),
    /// The server there does not speak TLS, or has no certificate that is believed.
    #[error("cannot agree on tls with tcp {0}; is it the tcp port of vagn, and --ca its certificate?")]
    Handshake(Target, #[source] io::Error),
    /// The connection ended while reports were open.
    #[error("connection to tcp {0} was lost")]
    Lost(Target, #[source] io::Error),
    /// The server has stopped answering.
    #[error("tcp {0} has stopped answering")]
    Silent(Target),
    /// The server sent bytes that are no answer.
    #[error("tcp {0} sent something else than answers")]
    Garbled(Target, #[source] BadAck),
    /// The trace to be sent cannot be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

/// Reports sent, and their answers.
#[derive(Debug)]
pub struct Outcome {
    /// Counts of the reports sent.
    pub sent: Sent,
    /// Number of answers with each fate.
    pub fates: BTreeMap<&'static str, u64>,
    /// Reports that were sent and not answered.
    pub unanswered: u64,
    /// Reason why sending ended early, if it did.
    pub broken: Option<TcpError>,
}

/// Sends all that `source` has to the target, each report when it is due, and waits for the answers. Each is shown to
/// `on_ack`.
///
/// # Errors
/// When no connection can be made. One that breaks later is part of the outcome.
pub async fn send_all(
    source: &mut impl Source,
    target: &Target,
    settings: &TcpSettings,
    watch: &mut Watch<'_>,
    on_ack: &mut dyn FnMut(&Ack<'_>),
) -> Result<Outcome, TcpError> {
    let stream = connect(target, &settings.trust).await?;
    let (read_half, write_half) = tokio::io::split(stream);
    let connection = Connection { target, settings, flight: Flight::default() };
    let ((sent, written), (fates, read)) =
        tokio::join!(connection.write(write_half, source, watch), connection.read(read_half, on_ack));
    let answered: u64 = fates.values().sum();
    let unanswered = sent.tally.reports.saturating_sub(answered);
    Ok(Outcome { sent, fates, unanswered, broken: written.err().or(read.err()) })
}

/// Opens a connection to the first of the target's addresses that takes one.
///
/// # Errors
/// When none does, or the server is not believed.
pub async fn connect(target: &Target, trust: &Trust) -> Result<TlsStream<TcpStream>, TcpError> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in target.addresses()? {
        match limited(TcpStream::connect(address)).await {
            Ok(stream) => return handshake(stream, address, target, trust).await,
            Err(err) => last = err,
        }
    }
    Err(TcpError::Connect(target.clone(), last))
}

async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    target: &Target,
    trust: &Trust,
) -> Result<TlsStream<TcpStream>, TcpError> {
    let failed = |err| TcpError::Handshake(target.clone(), err);
    let name = ServerName::try_from(target.host().to_owned()).map_err(|err| failed(io::Error::other(err)))?;
    stream.set_nodelay(true).map_err(failed)?;
    let connector = TlsConnector::from(trust.config(address)?);
    limited(connector.connect(name, stream)).await.map_err(failed)
}

async fn limited<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(CONNECT_WITHIN, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A connection, shared by its writing and its reading half.
struct Connection<'a> {
    target: &'a Target,
    settings: &'a TcpSettings,
    flight: Flight,
}

/// Reports without an answer. Both halves run in one task, so plain cells are enough.
#[derive(Default)]
struct Flight {
    open: Cell<usize>,
    since: Cell<Option<Instant>>,
    written: Cell<bool>,
    closed: Cell<bool>,
    landed: Notify,
    changed: Notify,
}

impl Flight {
    fn take_off(&self, count: usize) {
        if self.open.get() == 0 {
            self.since.set(Some(Instant::now()));
            self.changed.notify_one();
        }
        self.open.set(self.open.get() + count);
    }

    fn land(&self, count: usize) {
        self.open.set(self.open.get().saturating_sub(count));
        self.since.set((self.open.get() > 0).then(Instant::now));
        self.landed.notify_one();
    }

    fn is_over(&self) -> bool {
        self.written.get() && self.open.get() == 0
    }
}

impl Connection<'_> {
    /// Writes until the source ends, the caller stops it, or the reading half has ended.
    async fn write(
        &self,
        mut stream: impl AsyncWrite + Unpin,
        source: &mut impl Source,
        watch: &mut Watch<'_>,
    ) -> (Sent, Result<(), TcpError>) {
        let start = Instant::now();
        let mut tally = Tally::default();
        let mut result = self.write_reports(&mut stream, source, watch, &mut tally, start).await;
        let took = start.elapsed();
        self.flight.written.set(true);
        self.flight.changed.notify_one();
        while result.is_ok() && !self.flight.is_over() && !self.flight.closed.get() {
            self.flight.landed.notified().await;
        }
        if result.is_ok() && !self.flight.closed.get() {
            result = limited(stream.shutdown()).await.map_err(|err| TcpError::Lost(self.target.clone(), err));
        }
        (Sent { tally, took }, result)
    }

    async fn write_reports(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        source: &mut impl Source,
        watch: &mut Watch<'_>,
        tally: &mut Tally,
        start: Instant,
    ) -> Result<(), TcpError> {
        let mut batch = Batch::default();
        while !watch.stop.load(Ordering::Relaxed) && !self.flight.closed.get() {
            let room = self.settings.window.max(1).saturating_sub(self.flight.open.get());
            if room == 0 {
                self.flight.landed.notified().await;
                continue;
            }
            let next = batch.fill(source, start.elapsed(), room.min(BATCH_MAX))?;
            if !batch.is_empty() {
                self.flight.take_off(batch.len());
                batch.count_into(tally);
                // A peer that neither reads nor answers ends the reading half, which ends this write.
                tokio::select! {
                    done = write_batch(stream, &batch) => {
                        done.map_err(|err| TcpError::Lost(self.target.clone(), err))?;
                    }
                    () = self.hung_up() => return Ok(()),
                }
                (watch.progress)(tally);
            }
            match next {
                Next::End => break,
                Next::Wait(wait) if batch.is_empty() => sleep(wait.min(NAP_MAX)).await,
                _ => {}
            }
        }
        Ok(())
    }

    async fn hung_up(&self) {
        while !self.flight.closed.get() {
            self.flight.landed.notified().await;
        }
    }

    /// Reads until every report is answered and no more will come, or the connection ends.
    async fn read(
        &self,
        mut stream: impl AsyncRead + Unpin,
        on_ack: &mut dyn FnMut(&Ack<'_>),
    ) -> (BTreeMap<&'static str, u64>, Result<(), TcpError>) {
        let mut fates = BTreeMap::new();
        let result = self.read_answers(&mut stream, on_ack, &mut fates).await;
        self.flight.closed.set(result.is_err());
        self.flight.landed.notify_one();
        (fates, result)
    }

    async fn read_answers(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        on_ack: &mut dyn FnMut(&Ack<'_>),
        fates: &mut BTreeMap<&'static str, u64>,
    ) -> Result<(), TcpError> {
        let mut buffer = Vec::with_capacity(READ_BUFFER);
        while !self.flight.is_over() {
            let deadline = self.flight.since.get().map(|since| since + self.settings.answer_within);
            let read = tokio::select! {
                read = by(deadline, stream.read_buf(&mut buffer)) => read,
                () = self.flight.changed.notified() => continue,
            };
            match read {
                None => return Err(TcpError::Silent(self.target.clone())),
                // The server ends its side once we have ended ours, which may be seen before our own word.
                Some(Ok(0)) if self.flight.is_over() => return Ok(()),
                Some(Ok(0)) => {
                    return Err(TcpError::Lost(self.target.clone(), io::ErrorKind::UnexpectedEof.into()));
                }
                Some(Err(err)) => return Err(TcpError::Lost(self.target.clone(), err)),
                Some(Ok(_)) => self.take_answers(&mut buffer, on_ack, fates)?,
            }
        }
        Ok(())
    }

    fn take_answers(
        &self,
        buffer: &mut Vec<u8>,
        on_ack: &mut dyn FnMut(&Ack<'_>),
        fates: &mut BTreeMap<&'static str, u64>,
    ) -> Result<(), TcpError> {
        let mut read = 0;
        while let Some((ack, len)) =
            ack::decode(&buffer[read..]).map_err(|err| TcpError::Garbled(self.target.clone(), err))?
        {
            *fates.entry(Fate::as_str(ack.fate)).or_default() += 1;
            on_ack(&ack);
            self.flight.land(1);
            read += len;
        }
        buffer.drain(..read);
        Ok(())
    }
}

async fn write_batch(stream: &mut (impl AsyncWrite + Unpin), batch: &Batch) -> io::Result<()> {
    stream.write_all(batch.bytes()).await?;
    stream.flush().await
}

/// Waits until the deadline, if there is one.
async fn by<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    /// A server that ends its side. Before that the other half has said that all was written, if it has.
    struct Ended<'a> {
        flight: &'a Flight,
        is_written: bool,
    }

    impl AsyncRead for Ended<'_> {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.flight.written.set(self.is_written);
            Poll::Ready(Ok(()))
        }
    }

    async fn read(is_written: bool, open: usize) -> Result<(), TcpError> {
        let (target, settings) = ("localhost:9091".parse().unwrap(), TcpSettings::default());
        let connection = Connection { target: &target, settings: &settings, flight: Flight::default() };
        connection.flight.open.set(open);
        let stream = Ended { flight: &connection.flight, is_written };
        connection.read(stream, &mut |_| {}).await.1
    }

    #[tokio::test]
    async fn a_server_that_ends_its_side_when_all_is_answered_is_not_lost() {
        read(true, 0).await.unwrap();
        for (is_written, open) in [(true, 1), (false, 0), (false, 1)] {
            let lost = read(is_written, open).await.unwrap_err();
            assert!(matches!(lost, TcpError::Lost(..)), "{lost}");
        }
    }
}
