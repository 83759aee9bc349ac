//! Waits for a future on a plain thread, which is parked meanwhile. Needs no runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::sync::ThreadInstant;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{self, Thread};

struct Unpark {
    thread: Thread,
    // A park can end without cause, and other code may unpark the thread, too.
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Polls `future` until it is ready or `within` has passed. `None`: the time is up; the future may be polled again.
pub(crate) fn wait<F: Future + ?Sized>(mut future: Pin<&mut F>, within: Duration) -> Option<F::Output> {
    // Real time, for that is what a parked thread sleeps in. A limit beyond the clock's range is as good as none.
    let deadline = ThreadInstant::now().checked_add(within);
    let unpark = Arc::new(Unpark { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(unpark.clone());
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        while !unpark.woken.swap(false, Ordering::Acquire) {
            match deadline.map(|at| at.saturating_duration_since(ThreadInstant::now())) {
                Some(Duration::ZERO) => return None,
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }
}
