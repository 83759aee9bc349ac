//! The talk on one connection: goes on until the peer ends it, nothing is asked, its place is wanted, or the server stops.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::AsyncWrite;
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio::time::{sleep, timeout};
use tracing::{debug, error};

use super::caller::Caller;
use super::flight::Flight;
use super::gathering::{Gathering, Progress};
use super::station::Station;
use vagn_flow::descriptors::{Displaced, Place};
use vagn_flow::metrics::DoorMetrics;

/// What ends a connection early.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// One connection, which can go on at another station.
pub(crate) struct Talk<C, S> {
    pub(crate) connection: Pin<Box<C>>,
    /// What the connection writes to.
    pub(crate) output: Gathering<S>,
    pub(crate) peer: SocketAddr,
    pub(crate) signs: Arc<AtomicU64>,
    pub(crate) stopped: watch::Receiver<bool>,
    pub(crate) idle: Duration,
    pub(crate) caller: Caller,
    pub(crate) untaken: Duration,
    pub(crate) farewell: Duration,
    pub(crate) place: Arc<Place>,
    pub(crate) metrics: DoorMetrics,
}

impl<C: GracefulConnection<Error = Fault>, S: AsyncWrite + Unpin> Talk<C, S> {
    /// Goes on until it should be at the other station, and then returns itself; `None` when it has ended before.
    pub(crate) async fn go_on_at(mut self, station: Station, is_behind: bool) -> Option<Self> {
        tokio::select! {
            // The move first: what is asked next is asked at the new station.
            biased;
            () = station.wanted(!is_behind) => Some(self),
            () = self.go_on(is_behind) => None,
        }
    }

    async fn go_on(&mut self, is_behind: bool) {
        let place = self.place.clone();
        let displaced = tokio::select! {
            () = self.answer(is_behind) => return,
            displaced = place.displaced() => displaced,
        };
        self.metrics.refuse(reason(displaced));
        // Where nothing was asked, there is nothing to be finished.
        if displaced == Displaced::Idle {
            self.end_within(self.farewell, is_behind).await;
        }
    }

    async fn answer(&mut self, is_behind: bool) {
        let sending = Sending::new(self.connection.as_mut(), &self.output, &self.caller, is_behind);
        tokio::select! {
            ended = self.caller.watch_over(sending, self.untaken) => return report_end(self.peer, ended),
            _ = self.stopped.wait_for(|stop| *stop) => {}
            () = idleness(&self.signs, self.idle) => {}
        }
        // On a stop the server's own limit is shorter; after idleness this ends a peer that does not read its answer.
        self.end_within(self.idle, is_behind).await;
    }

    async fn end_within(&mut self, limit: Duration, is_behind: bool) {
        self.connection.as_mut().graceful_shutdown();
        let sending = Sending::new(self.connection.as_mut(), &self.output, &self.caller, is_behind);
        match timeout(limit, self.caller.watch_over(sending, self.untaken)).await {
            Ok(ended) => report_end(self.peer, ended),
            Err(_) => debug!(peer = %self.peer, "connection did not end in time and was cut off"),
        }
    }
}

/// A connection whose output is sent each time that it has been polled.
struct Sending<'a, C, S> {
    connection: Pin<&'a mut C>,
    output: &'a Gathering<S>,
    caller: &'a Caller,
    /// The connection may wait for the answers that are being made, to send them together.
    is_behind: bool,
    has_waited: bool,
    stuck: Option<Stuck>,
}

/// Output that the socket does not take.
struct Stuck {
    /// Bytes that had been sent before.
    sent: u64,
    /// Counts for the rest: in the account of answers, and for the watch, which ends a connection that takes nothing for long.
    _piece: Bytes,
}

impl<'a, C, S> Sending<'a, C, S> {
    fn new(
        connection: Pin<&'a mut C>,
        output: &'a Gathering<S>,
        caller: &'a Caller,
        is_behind: bool,
    ) -> Self {
        Self { connection, output, caller, is_behind, has_waited: false, stuck: None }
    }
}

impl<C, S: AsyncWrite + Unpin> Sending<'_, C, S> {
    fn note_stuck(&mut self) {
        let Progress { waiting, sent } = self.output.progress();
        if self.stuck.as_ref().is_some_and(|stuck| stuck.sent == sent) {
            return;
        }
        let flight = Flight::new(None, [Some(self.caller.owe(waiting)), None]);
        self.caller.watch().look_after(&flight);
        self.stuck = Some(Stuck { sent, _piece: flight.launch(Bytes::from_static(b".")) });
    }
}

impl<C: Future<Output = Result<(), Fault>>, S: AsyncWrite + Unpin> Future for Sending<'_, C, S> {
    type Output = Result<(), Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let this = &mut *self;
        if this.is_behind && !this.has_waited {
            // All that is ready to run comes first: answers that were asked for together wake the connection one by one.
            this.has_waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.has_waited = false;
        let polled = this.connection.as_mut().poll(cx);
        match this.output.poll_send(cx) {
            Poll::Ready(sent) => {
                this.stuck = None;
                sent?;
            }
            Poll::Pending => this.note_stuck(),
        }
        polled
    }
}

pub(crate) fn reason(displaced: Displaced) -> &'static str {
    match displaced {
        Displaced::Unasked => "http_displaced",
        Displaced::Idle => "http_displaced_idle",
    }
}

/// Resolves once there was no sign of life for `limit`.
async fn idleness(signs: &AtomicU64, limit: Duration) {
    // A count instead of a time: a request then costs one addition, and no look at the clock.
    let mut seen = signs.load(Ordering::Relaxed);
    loop {
        sleep(limit).await;
        let now = signs.load(Ordering::Relaxed);
        if now == seen {
            return;
        }
        seen = now;
    }
}

fn report_end(peer: SocketAddr, ended: Option<Result<(), Fault>>) {
    match ended {
        Some(Ok(())) => {}
        Some(Err(err)) => debug!(%peer, error = %err, "connection ended early"),
        None => debug!(%peer, "connection was cut off, as its peer did not take an answer"),
    }
}

/// Logs the crash of a connection by a panic of a handler, which ends nothing else.
pub(crate) fn report_crash(err: JoinError) {
    if err.is_panic() {
        error!(error = %err, "a request crashed its connection");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn output_that_is_not_taken_counts_as_memory_and_ends_its_connection() {
        let (socket, _peer) = duplex(2);
        let output = Gathering::new(socket);
        let caller = Caller::alone();
        let mut writer = output.clone();
        let mut connection = Box::pin(async move {
            writer.write_all(b"answer").await?;
            std::future::pending::<Result<(), Fault>>().await
        });
        let sending = Sending::new(connection.as_mut(), &output, &caller, false);
        let mut watched = Box::pin(caller.watch_over(sending, LIMIT));
        let early = timeout(LIMIT - Duration::from_secs(1), &mut watched).await;
        assert!(early.is_err());
        assert_eq!(caller.answer_bytes(), 4);
        let ended = timeout(Duration::from_secs(2), watched).await;
        assert!(ended.is_ok_and(|ended| ended.is_none()));
        assert_eq!(caller.answer_bytes(), 0);
    }
}
