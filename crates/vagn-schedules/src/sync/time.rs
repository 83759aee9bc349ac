//! A model of time: it goes on when nothing else can run, as tokio's paused clock does, and now and then before that.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::ops::Add;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use shuttle::future::yield_now;

/// A moment, as time since the begin of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Instant {
        CLOCK.with_borrow(|clock| Instant(clock.now))
    }

    pub(crate) fn duration_since(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }

    pub(crate) fn saturating_duration_since(self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn elapsed(self) -> Duration {
        Instant::now().saturating_duration_since(self)
    }

    pub(crate) fn checked_add(self, time: Duration) -> Option<Instant> {
        self.0.checked_add(time).map(Instant)
    }

    pub(crate) fn checked_sub(self, time: Duration) -> Option<Instant> {
        self.0.checked_sub(time).map(Instant)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, time: Duration) -> Instant {
        Instant(self.0.saturating_add(time))
    }
}

thread_local! {
    /// All tasks of a schedule run on one thread of the system.
    static CLOCK: RefCell<Clock> = const { RefCell::new(Clock::new()) };
}

struct Clock {
    now: Duration,
    timers: BTreeMap<(Duration, u64), Waker>,
    next: u64,
    /// The clock itself, while there is no timer.
    idle: Option<Waker>,
}

impl Clock {
    const fn new() -> Clock {
        // Not zero, so that there is a time before the begin.
        Clock { now: Duration::from_secs(1000), timers: BTreeMap::new(), next: 0, idle: None }
    }
}

/// Begins a schedule: the time is as it was at the begin of the last one, and there are no timers.
pub(super) fn reset() {
    let last = CLOCK.replace(Clock::new());
    // Wakers of a schedule that has ended, which wake nothing any more.
    drop(last);
}

/// Lets time go on, from one timer to the next. The scheduler runs it when nothing else can run.
pub(super) async fn run() {
    loop {
        poll_fn(|cx| CLOCK.with_borrow_mut(|clock| clock.poll_timer(cx))).await;
        let due = CLOCK.with_borrow_mut(|clock| {
            let ((at, _), waker) = clock.timers.pop_first()?;
            clock.now = clock.now.max(at);
            Some(waker)
        });
        due.inspect(Waker::wake_by_ref);
        yield_now().await;
    }
}

impl Clock {
    fn poll_timer(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.timers.is_empty() {
            self.idle = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn set(&mut self, id: Option<u64>, at: Duration, waker: &Waker) -> u64 {
        let id = id.unwrap_or(self.next);
        self.next = self.next.max(id + 1);
        self.timers.insert((at, id), waker.clone());
        self.idle.take().inspect(Waker::wake_by_ref);
        id
    }
}

/// One timer, which is gone when this is dropped.
pub(super) struct Timer {
    at: Duration,
    id: Option<u64>,
}

impl Timer {
    pub(super) fn new(at: Instant) -> Timer {
        Timer { at: at.0, id: None }
    }

    /// Returns true once its time has come; until then, `waker` is woken for it.
    pub(super) fn is_due(&mut self, waker: &Waker) -> bool {
        CLOCK.with_borrow_mut(|clock| {
            let due = clock.now >= self.at;
            if !due {
                self.id = Some(clock.set(self.id, self.at, waker));
            }
            due
        })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            CLOCK.with_borrow_mut(|clock| clock.timers.remove(&(self.at, id)));
        }
    }
}

pub(crate) struct Sleep(Timer);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.is_due(cx.waker()) { Poll::Ready(()) } else { Poll::Pending }
    }
}

pub(crate) fn sleep_until(at: Instant) -> Sleep {
    Sleep(Timer::new(at))
}

pub(crate) fn sleep(time: Duration) -> Sleep {
    sleep_until(Instant::now() + time)
}

/// The time was up.
#[derive(Debug)]
pub(crate) struct Elapsed;

pub(crate) async fn timeout_at<F: Future>(at: Instant, work: F) -> Result<F::Output, Elapsed> {
    let mut work = pin!(work);
    let mut sleep = sleep_until(at);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => Pin::new(&mut sleep).poll(cx).map(|()| Err(Elapsed)),
    })
    .await
}

pub(crate) async fn timeout<F: Future>(time: Duration, work: F) -> Result<F::Output, Elapsed> {
    timeout_at(Instant::now() + time, work).await
}
