//! The access log: the principals that have read incidents, followed shares, or asked for a change, in a file of its own.
//!
//! A read has one line per principal, subject and minute, a deed one each time. It is no trail: what is read changes nothing, and there
//! is far more of it; and what is done to incidents is in the trail as well.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use serde::Serialize;
use tracing::warn;
use vagn_flow::clock::Clock;
use vagn_flow::metrics::{MetricRegistry, ReasonLabel};
use vagn_flow::rfc3339::rfc3339;
use vagn_otp::ChildSpec;

/// Name of the file in the data directory. Older ones have a number behind it, and the oldest the highest.
pub const FILE: &str = "access.log";

/// Bytes of a file before the next one begins, and the number of older ones that are kept: 144 MiB together.
const FILE_MAX: u64 = 16 << 20;
const OLDER_MAX: u32 = 8;

/// Lines that may wait for the disk.
const WAITING_MAX: usize = 4096;

/// Reads that are told apart in one minute. Beyond that a read may get a line too many.
const SEEN_MAX: usize = 1 << 16;

/// Pause between two looks at whether the child is to stop.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const MINUTE_MS: i64 = 60_000;

/// Takes notes of requests. Cheap to clone.
#[derive(Clone)]
pub struct AccessLog(Option<Arc<Notes>>);

struct Notes {
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
    lines: SyncSender<String>,
    lost: Family<ReasonLabel, Counter>,
}

/// Reads in one minute.
#[derive(Default)]
struct Seen {
    minute: i64,
    reads: HashSet<(Box<str>, Box<str>)>,
}

/// The lines that wait for the disk.
pub struct AccessLines {
    waiting: Arc<Mutex<Receiver<String>>>,
    lost: Family<ReasonLabel, Counter>,
}

/// A line, in the order in which its fields are written.
#[derive(Debug, Serialize)]
pub(crate) struct Asked<'a> {
    pub(crate) principal: &'a str,
    pub(crate) role: &'static str,
    pub(crate) method: &'a str,
    pub(crate) subject: &'a str,
    /// Status of the answer; `None` where the client was gone before it.
    pub(crate) status: Option<u16>,
    pub(crate) address: Option<String>,
}

impl Asked<'_> {
    fn is_read(&self) -> bool {
        matches!(self.method, "GET" | "HEAD")
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    asked: &'a Asked<'a>,
}

/// Makes the log, and the lines that its child writes.
pub fn open(clock: Arc<dyn Clock>, registry: &MetricRegistry) -> (AccessLog, AccessLines) {
    let help = "Lines that are missing in the access log, by reason";
    let lost = registry.register("access_log_lost", help, Family::<ReasonLabel, Counter>::default());
    for reason in ["full", "disk"] {
        // There from the first scrape on, so that an increase is seen.
        drop(lost.get_or_create(&ReasonLabel { reason }));
    }
    let (lines, waiting) = sync_channel(WAITING_MAX);
    let notes = Notes { clock, seen: Mutex::default(), lines, lost: lost.clone() };
    (AccessLog(Some(Arc::new(notes))), AccessLines { waiting: Arc::new(Mutex::new(waiting)), lost })
}

impl AccessLog {
    /// Returns a log that keeps nothing, for tests of other things.
    pub fn none() -> Self {
        Self(None)
    }

    /// Notes a request, unless it is a read and the same was noted in this minute.
    pub(crate) fn note(&self, asked: &Asked<'_>) {
        let Some(notes) = &self.0 else { return };
        let now_ms = notes.clock.now_ms();
        if asked.is_read() && !notes.seen.lock().is_new(asked, now_ms.div_euclid(MINUTE_MS)) {
            return;
        }
        let line = Line { time: rfc3339(now_ms), asked };
        let mut line = serde_json::to_string(&line).expect("texts and numbers can always be written");
        line.push('\n');
        if notes.lines.try_send(line).is_err() {
            notes.lost.get_or_create(&ReasonLabel { reason: "full" }).inc();
        }
    }
}

impl Seen {
    fn is_new(&mut self, read: &Asked<'_>, minute: i64) -> bool {
        if self.minute != minute || self.reads.len() >= SEEN_MAX {
            self.reads.clear();
            self.minute = minute;
        }
        self.reads.insert((read.principal.into(), read.subject.into()))
    }
}

impl AccessLines {
    /// Takes the lines that wait, for tests.
    #[cfg(test)]
    pub(crate) fn take(&self) -> Vec<String> {
        self.waiting.lock().try_iter().collect()
    }

    /// Returns the child that writes them into this directory.
    pub fn child(self, dir: &Path) -> ChildSpec {
        let path = dir.join(FILE);
        ChildSpec::thread("access-log", move |ctx| {
            ctx.ready();
            let mut file = None;
            let waiting = self.waiting.lock();
            loop {
                ctx.beat();
                match waiting.recv_timeout(LOOK_EVERY) {
                    Ok(line) => self.write(&mut file, &path, line, &waiting),
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                    Err(RecvTimeoutError::Timeout) => {}
                }
                if ctx.stopping() {
                    return Ok(());
                }
            }
        })
    }

    /// Writes a line, and those that wait behind it.
    fn write(&self, file: &mut Option<Rotated>, path: &Path, first: String, waiting: &Receiver<String>) {
        let mut text = first;
        let mut count = 1;
        for line in waiting.try_iter().take(WAITING_MAX) {
            text.push_str(&line);
            count += 1;
        }
        let written = file.take().map_or_else(|| Rotated::open(path, FILE_MAX), Ok).and_then(|mut opened| {
            opened.append(text.as_bytes())?;
            Ok(opened)
        });
        match written {
            Ok(opened) => *file = Some(opened),
            Err(err) => {
                self.lost.get_or_create(&ReasonLabel { reason: "disk" }).inc_by(count);
                warn!(path = %path.display(), lines = count, error = %err, "failed to write the access log");
            }
        }
    }
}

/// A file that gives way to the next one when it is full.
struct Rotated {
    path: PathBuf,
    file: File,
    bytes: u64,
    most: u64,
}

impl Rotated {
    fn open(path: &Path, most: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.into(), file, bytes, most })
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + text.len() as u64 > self.most {
            self.rotate()?;
        }
        self.file.write_all(text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..OLDER_MAX).rev() {
            match fs::rename(older(&self.path, number), older(&self.path, number + 1)) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                _ => {}
            }
        }
        fs::rename(&self.path, older(&self.path, 1))?;
        *self = Self::open(&self.path.clone(), self.most)?;
        Ok(())
    }
}

fn older(path: &Path, number: u32) -> PathBuf {
    path.with_extension(format!("log.{number}"))
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use vagn_flow::clock::ManualClock;

    use super::*;

    fn read<'a>(principal: &'a str, subject: &'a str) -> Asked<'a> {
        Asked { principal, role: "read", method: "GET", subject, status: Some(200), address: None }
    }

    #[test]
    fn a_principal_has_one_line_per_subject_and_minute() {
        let clock = Arc::new(ManualClock::at(1_790_000_000_000));
        let (log, lines) = open(clock.clone(), &MetricRegistry::new());
        let one = "/api/v1/incidents/1";
        for (principal, subject) in [("anna", one), ("anna", one), ("bo", one), ("anna", "/api/v1/incidents")]
        {
            log.note(&read(principal, subject));
        }
        clock.advance(Duration::from_secs(60));
        log.note(&read("anna", one));
        let lines = lines.take();
        assert_eq!(lines.len(), 4, "{lines:?}");
        let first = r#"{"time":"2026-09-21T14:13:20.000Z","principal":"anna","role":"read","#.to_owned()
            + r#""method":"GET","subject":"/api/v1/incidents/1","status":200,"address":null}"#
            + "\n";
        assert_eq!(lines[0], first);
    }

    #[test]
    fn a_deed_has_a_line_each_time() {
        let (log, lines) = open(Arc::new(ManualClock::at(0)), &MetricRegistry::new());
        for method in ["GET", "DELETE", "DELETE", "GET", "POST"] {
            log.note(&Asked { method, ..read("anna", "/api/v1/vehicles/7") });
        }
        assert_eq!(lines.take().len(), 4);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let registry = MetricRegistry::new();
        let (log, _lines) = open(Arc::new(ManualClock::at(0)), &registry);
        for number in 0..WAITING_MAX + 3 {
            log.note(&read("anna", &number.to_string()));
        }
        assert!(
            registry.page().contains("vagn_access_log_lost_total{reason=\"full\"} 3\n"),
            "{}",
            registry.page()
        );
    }

    #[test]
    fn a_full_file_gives_way_and_the_oldest_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        for number in 0..u64::from(OLDER_MAX) + 3 {
            // Opened anew each time, as after a restart.
            Rotated::open(&path, 10).unwrap().append(format!("line {number}\n").as_bytes()).unwrap();
        }
        let text = |path: PathBuf| fs::read_to_string(path).unwrap();
        assert_eq!((text(path.clone()), text(older(&path, 1))), ("line 10\n".into(), "line 9\n".into()));
        assert_eq!(text(older(&path, OLDER_MAX)), "line 2\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1 + OLDER_MAX as usize);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
