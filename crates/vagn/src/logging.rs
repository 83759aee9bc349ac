//! The log on standard error, written by a thread of its own.
//!
//! The reader of standard error may stall, and a full pipe must not delay anything, least of all a notice. So lines wait in a
//! bounded queue; those that find no room are dropped and counted.

use std::fmt::{self, Debug};
use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};
use tracing_subscriber::prelude::*;
use tracing_subscriber::reload;

use crate::config::{LogFormat, LogLevel, LogSettings};
use crate::visible::{Form, VisibleWriter, quoted};

/// Lines that may wait for the reader of standard error: a few megabytes.
const LINES_WAITING: usize = 16_384;

/// The process has one log, and one count of what did not fit into it.
static LOST: OnceLock<ErrorCounter> = OnceLock::new();

/// Changes the amount of logging of the one log.
static LEVEL: OnceLock<Box<dyn Fn(LogLevel) + Send + Sync>> = OnceLock::new();

/// Starts logging, until the guard is dropped. Starting it again changes nothing.
#[must_use = "the log ends when the guard is dropped"]
pub(crate) fn init(settings: &LogSettings) -> WorkerGuard {
    let (ours, handle) = reload::Layer::new(filter(settings.level));
    let queue = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_WAITING);
    let (writer, guard) = queue.thread_name("log").finish(stderr());
    LOST.get_or_init(|| writer.error_counter());
    let form = match settings.format {
        LogFormat::Text if stderr().is_terminal() => Form::Coloured,
        LogFormat::Text => Form::Lines,
        LogFormat::Json => Form::Json,
    };
    // Each event is written as a whole.
    let layer =
        tracing_subscriber::fmt::layer().with_writer(move || VisibleWriter::new(writer.clone(), form));
    let layer = match settings.format {
        LogFormat::Text => layer.with_ansi(stderr().is_terminal()).fmt_fields(QuotedFields).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    // Fails when the log was started before: the tests of one process share it.
    if tracing_subscriber::registry().with(layer).with(ours).try_init().is_ok() {
        LEVEL.get_or_init(|| Box::new(move |level| drop(handle.reload(filter(level)))));
    }
    guard
}

/// Logs as much as this from here on.
pub(crate) fn set_level(level: LogLevel) {
    if let Some(set) = LEVEL.get() {
        set(level);
    }
}

fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Other libraries log frames and handshakes; only their warnings matter to an operator. `vagn` covers all our crates: a
    // target matches by its first letters.
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("vagn", level)
}

/// The fields of a line, as `key=value`: what a vehicle calls itself must not look like further fields.
struct QuotedFields;

impl<'w> FormatFields<'w> for QuotedFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = QuotingVisitor(DefaultVisitor::new(writer, true));
        fields.record(&mut visitor);
        visitor.0.finish()
    }
}

struct QuotingVisitor<'w>(DefaultVisitor<'w>);

impl Visit for QuotingVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        // A string is quoted in any case.
        self.0.record_str(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.0.record_debug(field, value),
            _ => self.0.record_debug(field, &format_args!("{}", quoted(&format!("{value:?}")))),
        }
    }
}

/// Collector of `vagn_log_lines_lost_total`: lines that were dropped because the reader of standard error was too slow.
#[derive(Debug)]
pub(crate) struct LostLines;

impl Collector for LostLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let lost = LOST.get().map_or(0, ErrorCounter::dropped_lines);
        let counter = ConstCounter::new(lost as u64);
        let help = "Log lines dropped because the reader of standard error was too slow";
        counter.encode(encoder.encode_descriptor("log_lines_lost", help, None, counter.metric_type())?)
    }
}

/// The log of a test, as far as it is written on the thread of the test.
#[cfg(test)]
pub(crate) struct HeardLog {
    lines: Lines,
    _subscriber: tracing::subscriber::DefaultGuard,
}

#[cfg(test)]
#[derive(Clone, Default)]
struct Lines(std::sync::Arc<parking_lot::Mutex<Vec<u8>>>);

#[cfg(test)]
impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
impl HeardLog {
    /// Hears the log until it is dropped.
    pub(crate) fn begin() -> Self {
        let lines = Lines::default();
        let of_log = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).fmt_fields(QuotedFields);
        let layer = layer.with_writer(move || of_log.clone());
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(LevelFilter::INFO));
        Self { lines, _subscriber: tracing::subscriber::set_default(subscriber) }
    }

    /// Returns what was written since the last time.
    pub(crate) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.lines.0.lock())).expect("a log is text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_pass_for_further_fields() {
        let log = HeardLog::begin();
        let said = |vehicle_id: &str| {
            tracing::info!(incident_id = %"0199", %vehicle_id, test = false, by = "Bo Ek", "a vehicle calls for help");
            let line = log.take();
            let (_, fields) = line.split_once("a vehicle calls for help ").unwrap();
            fields.trim_end().to_owned()
        };
        assert_eq!(said("bus-7"), r#"incident_id=0199 vehicle_id=bus-7 test=false by="Bo Ek""#);
        assert_eq!(
            said("bus 7 test=true"),
            r#"incident_id=0199 vehicle_id="bus 7 test=true" test=false by="Bo Ek""#
        );
        assert_eq!(
            said("a\" test=true b=\""),
            r#"incident_id=0199 vehicle_id="a\" test=true b=\"" test=false by="Bo Ek""#
        );
        assert_eq!(said(" "), r#"incident_id=0199 vehicle_id=" " test=false by="Bo Ek""#);
        assert_eq!(said("a\nb c"), r#"incident_id=0199 vehicle_id="a\nb c" test=false by="Bo Ek""#);
    }
}
