//! The lanes of a worker: its next job comes from its own lane first, then from each lane in turn.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::life::{Life, Order};
use crate::park;
use crate::queue::{Pop, Queue};
use crate::sync::time::Instant;

pub(super) struct Lanes<J> {
    own: Queue<J>,
    shared: Vec<Queue<J>>,
    turn: usize,
}

impl<J> Lanes<J> {
    pub(super) fn new(own: Queue<J>, shared: Vec<Queue<J>>) -> Self {
        Lanes { own, shared, turn: 0 }
    }

    /// Waits for a job. `None`: the worker is to stop; at a shutdown, once all jobs are done. `now` is the end of the job before.
    pub(super) fn next(&mut self, life: &Life, now: Instant) -> Option<J> {
        match life.order() {
            Order::Run => {}
            Order::Shutdown => {
                // Before the look into them: a job that came after the last look would be lost.
                for lane in &self.shared {
                    lane.close();
                }
                return self.try_next(now);
            }
            Order::Restart | Order::Remove | Order::Kill => return None,
        }
        self.try_next(now).or_else(|| self.wait(life)).or_else(|| self.next(life, now))
    }

    fn try_next(&mut self, now: Instant) -> Option<J> {
        self.own.try_pop_at(now).or_else(|| {
            let lanes = self.shared.len();
            (0..lanes).find_map(|step| {
                let lane = (self.turn + step) % lanes;
                let job = self.shared[lane].try_pop_at(now)?;
                self.turn = lane + 1;
                Some(job)
            })
        })
    }

    /// Sleeps until there is a job or an order. `None`: an order.
    fn wait(&mut self, life: &Life) -> Option<J> {
        let mut pops: Vec<Pop<'_, J>> =
            std::iter::once(&self.own).chain(&self.shared).map(Queue::pop).collect();
        // An order rings the life's bell, and does not wake a plain thread otherwise.
        let mut ordered = std::pin::pin!(life.ordered(Order::Restart));
        let arrival = poll_fn(|cx| match ordered.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => first(&mut pops, cx),
        });
        let job = park::wait(std::pin::pin!(arrival), Duration::MAX).flatten();
        life.process.stats.add_wakeup();
        job
    }
}

/// Takes the first job of any lane. A closed lane stays pending: only an order ends a worker.
fn first<J>(pops: &mut [Pop<'_, J>], cx: &mut Context<'_>) -> Poll<Option<J>> {
    for pop in pops {
        if let Poll::Ready(Some(job)) = Pin::new(pop).poll(cx) {
            return Poll::Ready(Some(job));
        }
    }
    Poll::Pending
}
