//! The log on standard error.

use std::io::{IsTerminal, stderr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::config::{LogFormat, LogLevel, LogSettings};

/// Starts logging. A second call changes nothing.
pub fn init(settings: &LogSettings) {
    let level = match settings.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Libraries below us speak of frames and handshakes; only what they warn of is the operator's business.
    let ours = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("vagn", level);
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr);
    let layer = match settings.format {
        LogFormat::Text => layer.with_ansi(stderr().is_terminal()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    // Already started: the tests of one process share a log.
    drop(tracing_subscriber::registry().with(layer).with(ours).try_init());
}
