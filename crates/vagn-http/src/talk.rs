//! The talk on one connection: goes on until the peer ends it, nothing is asked, its place is wanted, or the server stops.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper_util::server::graceful::GracefulConnection;
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error};

use super::caller::Caller;
use super::flight::Flight;
use super::gathering::Gathering;
use super::socket::Output;
use super::station::Station;
use vagn_flow::descriptors::{Asked, Displaced, Place};
use vagn_flow::metrics::DoorMetrics;

/// Failure that ends a connection early.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// One connection, which can go on at another station.
pub(crate) struct Talk<C, S> {
    pub(crate) connection: Pin<Box<C>>,
    /// Output of the connection, gathered.
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
    /// Output that the socket does not take.
    pub(crate) stuck: Option<Stuck>,
    /// Time by which it must have ended, once it is to end: also where it goes to the other station meanwhile.
    pub(crate) end_by: Option<Instant>,
}

/// Next thing for a connection.
enum Turn {
    Ended(Option<Result<(), Fault>>),
    Displaced(Displaced),
    /// It is to end: nothing is asked, or the server stops.
    Unwanted,
    /// It has not ended in time.
    Late,
}

impl<C: GracefulConnection<Error = Fault>, S: Output> Talk<C, S> {
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
        loop {
            match self.turn(is_behind).await {
                Turn::Ended(ended) => {
                    if ended.is_none() {
                        // Its peer would not take what the kernel has of it either.
                        self.output.abandon();
                    }
                    return report_end(self.peer, ended);
                }
                Turn::Displaced(displaced) => {
                    self.metrics.refuse(reason(displaced));
                    // Where nothing was asked, there is nothing to be finished.
                    if displaced == Displaced::Unasked {
                        return;
                    }
                    self.end_within(self.farewell);
                }
                // On a stop the server's own limit is shorter; after idleness this ends a peer that does not read its answer.
                Turn::Unwanted => self.end_within(self.idle),
                Turn::Late => {
                    return debug!(peer = %self.peer, "connection did not end in time and was cut off");
                }
            }
        }
    }

    async fn turn(&mut self, is_behind: bool) -> Turn {
        let Self { connection, output, caller, place, stopped, signs, stuck, end_by, .. } = self;
        let sending = Sending {
            connection: connection.as_mut(),
            output,
            caller,
            place,
            is_behind,
            has_waited: false,
            stuck,
        };
        let end_by = *end_by;
        tokio::select! {
            ended = caller.watch_over(sending, self.untaken) => Turn::Ended(ended),
            displaced = place.displaced() => Turn::Displaced(displaced),
            _ = stopped.wait_for(|stop| *stop), if end_by.is_none() => Turn::Unwanted,
            () = idleness(signs, self.idle), if end_by.is_none() => Turn::Unwanted,
            () = sleep_until(end_by.unwrap_or_else(Instant::now)), if end_by.is_some() => Turn::Late,
        }
    }

    /// Lets it end in order, within this time or what is left of an earlier one.
    fn end_within(&mut self, limit: Duration) {
        let by = Instant::now() + limit;
        self.end_by = Some(self.end_by.map_or(by, |before| before.min(by)));
        self.connection.as_mut().graceful_shutdown();
    }
}

/// A connection whose output is sent each time that it has been polled.
struct Sending<'a, C, S> {
    connection: Pin<&'a mut C>,
    output: &'a Gathering<S>,
    caller: &'a Caller,
    place: &'a Place,
    /// The connection may wait for the answers that are being made, to send them together.
    is_behind: bool,
    has_waited: bool,
    stuck: &'a mut Option<Stuck>,
}

/// Output that the socket does not take.
pub(crate) struct Stuck {
    /// Bytes that had been sent when it was last looked at.
    sent: u64,
    /// Counts as an answer for the watch, which ends a connection that takes nothing for long.
    flight: Arc<Flight>,
    _piece: Bytes,
    /// Keeps the place of the connection: what waits may be the end of an answer.
    _asked: Option<Asked>,
}

impl Stuck {
    fn new(sent: u64, caller: &Caller, place: &Place) -> Self {
        let flight = Flight::new(None, [None, None]);
        caller.watch().look_after(&flight);
        let piece = flight.launch(Bytes::from_static(b"."));
        Self { sent, flight, _piece: piece, _asked: place.still_asked() }
    }

    /// Notes how much has been sent.
    fn note(&mut self, sent: u64) {
        if self.sent != sent {
            self.sent = sent;
            self.flight.moved();
        }
    }
}

impl<C, S: Output> Sending<'_, C, S> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        if let Poll::Ready(sent) = self.output.poll_send(cx) {
            *self.stuck = None;
            return Ok(sent?);
        }
        let sent = self.output.sent();
        self.stuck.get_or_insert_with(|| Stuck::new(sent, self.caller, self.place)).note(sent);
        Ok(())
    }
}

impl<C: Future<Output = Result<(), Fault>>, S: Output> Future for Sending<'_, C, S> {
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
        this.poll_send(cx)?;
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
mod tests;
