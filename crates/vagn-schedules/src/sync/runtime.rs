//! A stand-in for the handle of a runtime: there is one scheduler, and everything runs on it.

use std::future::Future;

use shuttle::future::{JoinHandle, block_on, spawn};

/// The handle of the one runtime.
#[derive(Debug, Clone)]
pub struct Handle;

/// A thread that has entered the runtime, which changes nothing here.
pub(crate) struct Entered;

impl Handle {
    pub(crate) fn current() -> Handle {
        Handle
    }

    pub(crate) fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        spawn(work)
    }

    pub(crate) fn block_on<F: Future>(&self, work: F) -> F::Output {
        block_on(work)
    }

    pub(crate) fn enter(&self) -> Entered {
        Entered
    }
}
