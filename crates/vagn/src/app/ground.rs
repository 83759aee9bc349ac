//! The ground that the service stands on: its runtime, and the signals that stop it or reload its settings.
//!
//! It is laid before anything else, so that a signal stops the service in order from its first moment on.

use std::fs;
use std::panic::resume_unwind;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};
use tracing::warn;
use vagn_otp::set_nice;

use super::{KILL_WITHIN, STOP_WITHIN};

/// The runtime, and the signals that stop the service.
pub struct Ground {
    /// `None` once it is left.
    runtime: Option<Runtime>,
    signals: Signals,
}

/// The signals: SIGTERM and SIGINT stop the service, SIGHUP reloads its settings, or stops it when its terminal is gone.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// `None` where the service was started to outlive its terminal, as by `nohup`.
    hang_up: Option<Signal>,
    had_terminal: bool,
    /// The first one that came to stop it.
    first: Option<&'static str>,
    /// One came to reload, and nothing was reloaded yet.
    reload: bool,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// To stop, by the signal of this name.
    Stop(&'static str),
    /// To reload the settings.
    Reload,
}

impl Ground {
    /// Starts the runtime, and heeds the signals from here on.
    ///
    /// # Errors
    /// The system gives no threads, or signals cannot be waited for.
    pub fn lay() -> anyhow::Result<Self> {
        let runtime = build_runtime("vagn", worker_threads(), None)?;
        let signals = {
            let _entered = runtime.enter();
            Signals::heed()?
        };
        Ok(Self { runtime: Some(runtime), signals })
    }

    /// Runs `start` on a thread of the runtime. `None`: a signal came, and the start, which perhaps hangs in a disk, did not end
    /// within the limit of a stop. A signal that comes during a start that does end is kept.
    pub fn begin<T: Send + 'static>(&mut self, start: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let Self { runtime, signals } = self;
        let runtime = runtime.as_ref().expect("it is not left");
        runtime.block_on(async {
            tokio::select! {
                started = runtime.spawn_blocking(start) => match started {
                    Ok(started) => Some(started),
                    Err(crash) => resume_unwind(crash.into_panic()),
                },
                () = outlasted(signals) => None,
            }
        })
    }

    /// Runs `work` to its end. It is given the wait for a signal that stops the service.
    pub(super) fn stand<'a, F: Future>(&'a mut self, work: impl FnOnce(Asked<'a>) -> F) -> F::Output {
        let Self { runtime, signals } = self;
        runtime.as_ref().expect("it is not left").block_on(work(Asked(signals)))
    }

    /// Does the last work, and leaves the runtime. Neither is waited for long, because both may be stuck in a disk or a pipe.
    pub fn leave(mut self, last: impl FnOnce() + Send + 'static) {
        if let Some(runtime) = self.runtime.take() {
            leave(runtime, last);
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Does the last work on a thread of the runtime, and leaves the runtime. Neither is waited for long.
pub(crate) fn leave(runtime: Runtime, last: impl FnOnce() + Send + 'static) {
    // A thread that is stuck in it is no reason to stay.
    let done = runtime.spawn_blocking(last);
    runtime.block_on(async { timeout(KILL_WITHIN, done).await.is_ok() });
    runtime.shutdown_background();
}

/// The wait for signals.
pub(super) struct Asked<'a>(&'a mut Signals);

impl Asked<'_> {
    /// Waits for the next signal. One that came before counts.
    pub(super) async fn next(&mut self) -> Ask {
        self.0.next().await
    }
}

impl Signals {
    fn heed() -> anyhow::Result<Self> {
        // Before the handler is set, which would replace this.
        let outlives_terminal = is_ignored(SignalKind::hangup());
        let heed = |kind, name| signal(kind).with_context(|| format!("wait for {name}"));
        Ok(Self {
            terminate: heed(SignalKind::terminate(), "SIGTERM")?,
            interrupt: heed(SignalKind::interrupt(), "SIGINT")?,
            hang_up: if outlives_terminal { None } else { Some(heed(SignalKind::hangup(), "SIGHUP")?) },
            had_terminal: has_terminal(),
            first: None,
            reload: false,
        })
    }

    /// Waits for a signal that stops the service. Those that reload are remembered.
    async fn first(&mut self) -> &'static str {
        loop {
            match self.any().await {
                Ask::Stop(first) => return first,
                Ask::Reload => self.reload = true,
            }
        }
    }

    async fn next(&mut self) -> Ask {
        if self.first.is_none() && std::mem::take(&mut self.reload) {
            return Ask::Reload;
        }
        self.any().await
    }

    async fn any(&mut self) -> Ask {
        if let Some(first) = self.first {
            return Ask::Stop(first);
        }
        let first = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            Some(_) = async { Some(self.hang_up.as_mut()?.recv().await) } => {
                if !self.had_terminal || has_terminal() {
                    return Ask::Reload;
                }
                "SIGHUP"
            }
        };
        self.first = Some(first);
        Ask::Stop(first)
    }
}

/// True while there is a terminal whose end ends the service.
fn has_terminal() -> bool {
    fs::File::open("/dev/tty").is_ok()
}

/// Ends when a start has taken too long since a signal came.
async fn outlasted(signals: &mut Signals) {
    let signal = signals.first().await;
    sleep(STOP_WITHIN).await;
    warn!(signal, within = ?STOP_WITHIN, "the start does not end, and is left where it stands");
}

/// True if this signal was ignored when the process began.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    ignored & (1 << (kind.as_raw_value() - 1)) != 0
}

pub(super) fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2))
}

/// Starts a runtime with so many threads of this name; at this nice value, or at that of the process.
pub(super) fn build_runtime(name: &str, threads: usize, nice: Option<i32>) -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).thread_name(name).enable_all();
    if let Some(level) = nice {
        builder.on_thread_start(move || set_nice(level));
    }
    builder.build().context("start the runtime")
}
