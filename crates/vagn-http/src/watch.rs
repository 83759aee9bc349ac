//! The watch over answers: ends those that their peer does not take.
//!
//! A body is not asked for its next frame while its peer takes nothing, so it cannot end itself. The future that sends it is
//! watched instead: that of a stream in HTTP/2, and that of the connection in HTTP/1.1. To drop it resets the stream or closes
//! the connection, and frees what waited there.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

use super::flight::Flight;
use super::memory::Memory;
use super::station::Station;

tokio::task_local! {
    /// The watch over what is sent at this moment.
    static CURRENT: Arc<Watch>;
}

/// Answers that one future sends.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    flights: Mutex<Vec<Weak<Flight>>>,
}

impl Watch {
    /// Lets the watch over what is sent at this moment look after a flight.
    pub(crate) fn current(flight: &Arc<Flight>) {
        // Outside of a server nothing is watched.
        CURRENT.try_with(|watch| watch.look_after(flight)).ok();
    }

    pub(crate) fn look_after(&self, flight: &Arc<Flight>) {
        let mut flights = self.flights.lock();
        flights.retain(|flight| flight.strong_count() > 0);
        flights.push(Arc::downgrade(flight));
    }

    /// Returns the earliest time at which an answer is ended, and why, unless more of it is taken until then.
    fn deadline(&self, limit: Duration) -> Option<(Instant, &'static str)> {
        let flights = self.flights.lock();
        let deadlines = flights.iter().filter_map(|flight| flight.upgrade()?.deadline(limit));
        deadlines.min_by_key(|(at, _)| *at)
    }
}

/// A future that sends answers; ends with `None` when one of them was not taken in time.
pub(crate) struct Watched<F> {
    inner: F,
    watch: Arc<Watch>,
    limit: Duration,
    memory: Arc<Memory>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<F> Watched<F> {
    /// Watches over `inner`: nothing of an answer may wait longer than `limit`.
    pub(crate) fn new(inner: F, watch: Arc<Watch>, limit: Duration, memory: Arc<Memory>) -> Self {
        Self { inner, watch, limit, memory, timer: None }
    }

    /// Waits until an answer is due to be ended.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((mut at, mut why)) = self.watch.deadline(self.limit) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        loop {
            // One that is early is let be: to set it anew for each frame would cost more.
            if timer.deadline() > at {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if at <= Instant::now() {
                self.memory.metrics.cut(why);
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
            let Some(next) = self.watch.deadline(self.limit) else { return Poll::Pending };
            (at, why) = next;
        }
    }
}

impl<F: Future + Unpin> Future for Watched<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(done) =
            CURRENT.sync_scope(this.watch.clone(), || Pin::new(&mut this.inner).poll(cx))
        {
            return Poll::Ready(Some(done));
        }
        this.poll_cut(cx).map(|()| None)
    }
}

/// Runs the streams of HTTP/2 of one connection, each under a watch of its own, at the station of the connection.
#[derive(Debug, Clone)]
pub(crate) struct StreamExecutor {
    limit: Duration,
    memory: Arc<Memory>,
    station: Station,
}

impl StreamExecutor {
    /// Ends streams of which nothing is taken for `limit`.
    pub(crate) fn new(limit: Duration, memory: Arc<Memory>, station: Station) -> Self {
        Self { limit, memory, station }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        let mut watched = Watched::new(Box::pin(stream), Arc::default(), self.limit, self.memory.clone());
        let done = poll_fn(move |cx| Pin::new(&mut watched).poll(cx).map(drop));
        self.station.clone().spawn(done);
    }
}
