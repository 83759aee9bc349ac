//! The one place where tasks and threads begin, and where every kind of end is noted.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use crate::exit::{ExitReason, Failure};
use crate::fault::{Catch, catch};
use crate::life::{Life, Order};
use crate::nice::set_nice;
use crate::sync::{Handle, thread};

/// The means to begin one incarnation.
pub(crate) struct Launch {
    pub(crate) life: Arc<Life>,
    pub(crate) runtime: Handle,
    pub(crate) own_thread: bool,
    pub(crate) nice: Option<i32>,
}

impl Launch {
    /// Runs async work. A kill ends it at its next await.
    pub(crate) fn future(self, work: impl Future<Output = Result<(), Failure>> + Send + 'static) {
        let life = self.life.clone();
        let guarded = async move {
            let end = End(life.clone());
            // The work and all that it held is dropped before its end is noted: the next incarnation may need the same.
            let exit = until_killed(Catch::new(work), &life).await;
            end.note(exit);
        };
        if self.own_thread {
            let runtime = self.runtime.clone();
            self.on_thread(move || runtime.block_on(guarded));
        } else {
            let _detached = self.runtime.spawn(guarded);
        }
    }

    /// Runs a supervisor. It sees to its own end when it is killed, for its children must end first.
    pub(crate) fn supervisor(self, work: impl Future<Output = ExitReason> + Send + 'static) {
        let end = End(self.life.clone());
        let _detached = self.runtime.spawn(async move {
            let exit = Catch::new(work).await.unwrap_or_else(|panic| panic);
            end.note(exit);
        });
    }

    /// Runs blocking work on a thread of its own.
    pub(crate) fn thread(self, work: impl FnOnce() -> Result<(), Failure> + Send + 'static) {
        let life = self.life.clone();
        let runtime = self.runtime.clone();
        self.on_thread(move || {
            let end = End(life.clone());
            // For the clock: the thread must tell the time as its supervisor does.
            let _runtime = runtime.enter();
            let exit = judge(catch(work), &life);
            end.note(exit);
        });
    }

    fn on_thread(self, work: impl FnOnce() + Send + 'static) {
        let nice = self.nice;
        let life = self.life.clone();
        let builder = thread::Builder::new().name(self.life.process.name.to_string());
        let started = builder.spawn(move || {
            nice.inspect(|level| set_nice(*level));
            life.runs_here();
            work();
        });
        if let Err(error) = started {
            // Out of threads or memory: a failed start, which the supervisor repairs as any other.
            self.life.end(ExitReason::Failed(format!("cannot start a thread: {error}")));
        }
    }
}

async fn until_killed(work: Catch<impl Future<Output = Result<(), Failure>>>, life: &Life) -> ExitReason {
    let mut work = std::pin::pin!(work);
    poll_fn(|cx| {
        // Before the poll, so that an order given meanwhile leads to another one.
        life.wake_on_order(cx);
        match work.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(judge(result, life)),
            Poll::Pending if life.order() == Order::Kill => Poll::Ready(ExitReason::Killed),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn judge(result: Result<Result<(), Failure>, ExitReason>, life: &Life) -> ExitReason {
    match result {
        // An end during a stop is taken for the answer to it.
        Ok(Ok(())) if life.order() == Order::Kill => ExitReason::Killed,
        Ok(Ok(())) if life.is_stopping() => ExitReason::Stopped,
        Ok(Ok(())) => ExitReason::Finished,
        Ok(Err(failure)) => ExitReason::Failed(failure.to_string()),
        Err(panic) => panic,
    }
}

/// Notes the end of an incarnation, also when its future is dropped with the runtime.
struct End(Arc<Life>);

impl End {
    fn note(self, exit: ExitReason) {
        self.0.end(exit);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.end(ExitReason::Killed);
    }
}
