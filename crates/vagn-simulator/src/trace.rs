//! Trace: a hash of all that happened in a run, and on request the last of it in words.

use std::collections::VecDeque;
use std::fmt::Write;

use vagn_cluster::{Command, Event, LogOutcome, fold, hash};

/// A trace.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    keep: usize,
    lines: VecDeque<String>,
}

/// Longest line.
const LINE_MAX: usize = 240;

impl Trace {
    /// Keeps that many lines; none costs nothing.
    pub(crate) fn new(keep: usize) -> Self {
        Self { hash: 0, keep, lines: VecDeque::new() }
    }

    pub(crate) fn fold(&mut self, words: &[u64]) {
        self.hash = words.iter().fold(self.hash, |hash, word| fold(hash, *word));
    }

    /// Adds a line, which is made only when somebody reads it.
    pub(crate) fn line(&mut self, now: u64, text: impl FnOnce() -> String) {
        if self.keep == 0 {
            return;
        }
        if self.lines.len() == self.keep {
            self.lines.pop_front();
        }
        let mut line = format!("{:>11.6} {}", now as f64 / 1e6, text());
        if let Some((cut, _)) = line.char_indices().nth(LINE_MAX) {
            line.truncate(cut);
        }
        self.lines.push_back(line);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

/// Returns a number for an event: two events with one number are alike as far as a trace must tell them apart.
pub(crate) fn digest(event: &Event) -> u64 {
    match event {
        Event::Received { from, bytes } => fold(from.0, hash(&[bytes])),
        Event::Delivered(message) => fold(message.subscription.0, message.sequence),
        Event::LogSynced { shard, through } => fold(u64::from(shard.0), *through),
        Event::Submitted { ticket, changes } => fold(ticket.0, changes.len() as u64),
        Event::Published(publish, outcome) => fold(publish.0, hash(&[format!("{outcome:?}").as_bytes()])),
        Event::Woken => 1,
        other => hash(&[event_text(other).as_bytes()]),
    }
}

/// Says an event in words, without its long bytes.
pub(crate) fn event_text(event: &Event) -> String {
    match event {
        Event::Disk(part) => short(format!("{part:?}")),
        Event::Delivered(m) => {
            format!(
                "Delivered {:?} {} of {} bytes, time {}",
                m.subscription,
                m.sequence,
                m.bytes.len(),
                m.time_ms
            )
        }
        Event::Received { from, bytes } => {
            format!("Received from {} {} bytes, kind {:?}", from.0, bytes.len(), bytes.get(..2))
        }
        Event::RecordRead(key, outcome) => short(format!("RecordRead {key:?} {outcome:?}")),
        Event::LogRead { shard, read, outcome: LogOutcome::Records(records) } => {
            format!("LogRead {shard:?} {read:?}: {} records", records.len())
        }
        Event::Submitted { ticket, changes } => format!("Submitted {ticket:?} {} changes", changes.len()),
        other => short(format!("{other:?}")),
    }
}

/// Says a command in words, without its long bytes.
pub(crate) fn command_text(command: &Command) -> String {
    match command {
        Command::Publish { publish, stream, message_id, expected_last, bytes } => {
            format!(
                "Publish {} to {}/{} id {message_id:?} expecting {expected_last:?}, {} bytes",
                publish.0,
                stream.shard.0,
                stream.epoch,
                bytes.len()
            )
        }
        Command::WriteRecord { key, expected, bytes } => {
            format!("WriteRecord {key:?} expecting {expected:?}, {} bytes", bytes.len())
        }
        Command::Send { to, bytes } => {
            format!("Send to {} {} bytes, kind {:?}", to.0, bytes.len(), bytes.get(..2))
        }
        Command::SendAll { bytes } => format!("SendAll {} bytes, kind {:?}", bytes.len(), bytes.get(..2)),
        Command::WriteLog { shard, records } => {
            let ends = records.first().zip(records.last()).map(|(a, b)| (a.sequence, b.sequence));
            format!("WriteLog {shard:?} {ends:?}")
        }
        Command::SaveSnapshot { shard, sequence, bytes } => {
            format!("SaveSnapshot {shard:?} {sequence}, {} bytes", bytes.len())
        }
        Command::InstallSnapshot { shard, sequence, bytes } => {
            format!("InstallSnapshot {shard:?} {sequence}, {} bytes", bytes.len())
        }
        Command::WriteNote(bytes) => format!("WriteNote {} bytes", bytes.len()),
        Command::Answer { query, answers, missing } => {
            let from: Vec<_> = answers.iter().map(|a| (a.shard.0, a.node.0, a.age_ms)).collect();
            format!("Answer {query:?} {from:?} missing {missing:?}")
        }
        other => short(format!("{other:?}")),
    }
}

fn short(mut text: String) -> String {
    if let Some((cut, _)) = text.char_indices().nth(160) {
        let length = text.len();
        text.truncate(cut);
        // Writing to a string cannot fail.
        write!(text, "… ({length})").unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines_and_a_hash_of_all() {
        let (mut a, mut b) = (Trace::new(2), Trace::new(0));
        for word in 0..5 {
            a.fold(&[word]);
            b.fold(&[word]);
            a.line(word, || format!("word {word}"));
            b.line(word, || unreachable!("nobody reads it"));
        }
        assert_eq!(a.hash(), b.hash());
        b.fold(&[5]);
        assert_ne!(a.hash(), b.hash());
        assert_eq!(a.into_lines(), ["   0.000003 word 3", "   0.000004 word 4"]);
    }
}
