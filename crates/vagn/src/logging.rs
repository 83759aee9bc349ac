//! The log on standard error, written by a thread of its own.
//!
//! Whoever reads standard error may stall, and a full pipe must hold up nothing: least of all a call for help. So lines
//! wait in a bounded queue, and those that find no room are counted and gone.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::config::{LogFormat, LogLevel, LogSettings};

/// Lines that may wait for the reader of standard error: a few megabytes.
const LINES_WAITING: usize = 16_384;

/// The process has one log, and one count of what did not fit into it.
static LOST: OnceLock<ErrorCounter> = OnceLock::new();

/// Starts logging, until the guard is dropped; a second call changes nothing.
#[must_use = "dropped, it ends the log"]
pub fn init(settings: &LogSettings) -> WorkerGuard {
    let level = match settings.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Libraries below us speak of frames and handshakes; only what they warn of is the operator's business.
    let ours = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("vagn", level);
    let queue = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_WAITING);
    let (writer, guard) = queue.thread_name("log").finish(stderr());
    LOST.get_or_init(|| writer.error_counter());
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match settings.format {
        LogFormat::Text => layer.with_ansi(stderr().is_terminal()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    // Already started: the tests of one process share a log.
    drop(tracing_subscriber::registry().with(layer).with(ours).try_init());
    guard
}

/// `vagn_log_lines_lost_total`: lines that were not written because nobody read the earlier ones.
#[derive(Debug)]
pub struct LostLines;

impl Collector for LostLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let lost = LOST.get().map_or(0, ErrorCounter::dropped_lines);
        let counter = ConstCounter::new(lost as u64);
        let help = "Log lines not written because nobody read the earlier ones";
        counter.encode(encoder.encode_descriptor("log_lines_lost", help, None, counter.metric_type())?)
    }
}
