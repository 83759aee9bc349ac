//! Faults: catches the panic of a child with its place, and injects one.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

use crate::exit::ExitReason;

/// A fault to inject into a process, for tests and for drills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Panics at the next message, job or beat.
    Panic,
    /// Stands still at the next message, job or beat, until killed.
    Hang,
}

thread_local! {
    static SUPERVISED: Cell<bool> = const { Cell::new(false) };
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs a panic hook that notes the place of a panic in a supervised child instead of printing it: the supervisor logs it
/// once, with the place. Other panics go to the hook that was there before.
///
/// It is also faster: with `RUST_BACKTRACE=1` the usual hook spends some 220 ms on symbols at the first panic.
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

/// Runs a part of a child's work. A panic comes back as the reason for the child's end.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, ExitReason> {
    // Put back, not cleared: work that drops other work catches within a catch.
    let outer = SUPERVISED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    SUPERVISED.set(outer);
    result.map_err(|payload| {
        let message = message(&*payload);
        // A payload may panic when it is dropped, which must not take the supervisor down.
        catch_unwind(AssertUnwindSafe(|| drop(payload))).ok();
        ExitReason::Panicked { message, location: LOCATION.take() }
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "of unknown type".to_owned())
}

/// A future that turns a panic of `F` into its output. It drops `F` first.
pub(crate) struct Catch<F> {
    // Boxed, so that it can be dropped before this future is.
    work: Option<Pin<Box<F>>>,
}

impl<F> Catch<F> {
    pub(crate) fn new(work: F) -> Self {
        Catch { work: Some(Box::pin(work)) }
    }

    /// Drops the work, which may panic, too.
    fn clear(&mut self) -> Result<(), ExitReason> {
        catch(|| self.work = None)
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
        self.clear().ok();
    }
}
