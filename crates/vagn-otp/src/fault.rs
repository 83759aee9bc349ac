//! Faults: catching a child's panic with its place, and injecting one.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

use crate::exit::ExitReason;

/// What to do to a process, for tests and for an operator who wants to see that it heals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Panic at the next message, job or beat.
    Panic,
    /// Stand still at the next message, job or beat, until killed.
    Hang,
}

thread_local! {
    static SUPERVISED: Cell<bool> = const { Cell::new(false) };
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs a panic hook that notes where a supervised child panicked instead of printing it: the supervisor logs it once,
/// with the place. Panics elsewhere go to the hook that was there before.
///
/// Worth having besides: with `RUST_BACKTRACE=1` the usual hook spends some 220 ms on symbols at the first panic.
pub fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| note(info, &before)));
    });
}

fn note(info: &PanicHookInfo<'_>, before: &dyn Fn(&PanicHookInfo<'_>)) {
    if SUPERVISED.get() {
        LOCATION.set(info.location().map(ToString::to_string));
    } else {
        before(info);
    }
}

/// Runs something of a child's; its panic comes back as the reason.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, ExitReason> {
    let outer = SUPERVISED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    SUPERVISED.set(outer);
    result.map_err(|payload| {
        let message = message(&*payload);
        // A payload may panic when dropped; that is no reason to go down with it.
        drop(catch_unwind(AssertUnwindSafe(|| drop(payload))));
        ExitReason::Panicked { message, location: LOCATION.take() }
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "of unknown type".to_owned())
}

/// A future whose panic is its output. What it holds is dropped before it says so.
pub(crate) struct Catch<F> {
    work: Option<Pin<Box<F>>>,
}

impl<F> Catch<F> {
    pub(crate) fn new(work: F) -> Self {
        Catch { work: Some(Box::pin(work)) }
    }

    /// Drops the work, which may panic on its way out too.
    fn clear(&mut self) -> Result<(), ExitReason> {
        let work = self.work.take();
        catch(move || drop(work))
    }
}

impl<F: Future> Future for Catch<F> {
    type Output = Result<F::Output, ExitReason>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = self.work.as_mut() else { return Poll::Pending };
        let result = match catch(|| work.as_mut().poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(panic),
        };
        let cleared = self.clear();
        Poll::Ready(result.and_then(|output| cleared.map(|()| output)))
    }
}

impl<F> Drop for Catch<F> {
    fn drop(&mut self) {
        drop(self.clear());
    }
}
