//! Playing a recorded trace as if its vehicles drove now.
//!
//! Every row is sent with its faults: a position of (0, 0) is for the service to refuse, and a vehicle that jumps may have. Two rows with
//! the same vehicle, time and position stay a duplicate to the server, because they keep the same `Ts`; `Seq` is the
//! number of the row, and so differs.

use std::{path::Path, time::Duration};

use vagn_wire::{Report, encode};

use crate::{
    source::{Next, Source},
    timeline::{Speed, Stamps, Timeline},
    trace::{Trace, TraceError, Unusable, last_timestamp_ms},
};

/// Settings of a replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReplaySettings {
    /// Speed of the replay, against the recording.
    pub speed: Speed,
    /// Start of the replay in ms since 1970, to stamp rows with the time at which they are sent; `None` keeps their times.
    pub now_ms: Option<i64>,
    /// Silences of the trace longer than this are cut down to it.
    pub gap_max: Duration,
    /// True if rows carry `Seq`, which asks for acks over TCP.
    pub ask_acks: bool,
}

/// A trace that is being played.
pub struct Replay {
    trace: Trace,
    timeline: Timeline,
    seq_from: Option<u64>,
    rows: u64,
    due: Option<Duration>,
    encoded: Vec<u8>,
}

impl Replay {
    /// Opens a trace. Reads all of it once beforehand if its end must be known.
    ///
    /// # Errors
    /// When the trace cannot be read.
    pub fn open(path: &Path, settings: ReplaySettings) -> Result<Self, TraceError> {
        let stamps = match settings.now_ms {
            None => Stamps::Original,
            Some(start_ms) => {
                let last_ms = if settings.speed == Speed::Max { last_timestamp_ms(path)? } else { None };
                Stamps::Now { start_ms, last_ms: last_ms.unwrap_or(start_ms) }
            }
        };
        Ok(Self::new(Trace::open(path)?, stamps, settings))
    }

    fn new(trace: Trace, stamps: Stamps, settings: ReplaySettings) -> Self {
        // With its own times, a trace that is played again is the same again. With new times it must not look the same: a
        // vehicle with a single row would count as a duplicate by its `Seq`.
        let first_seq = settings.now_ms.map_or(0, |now_ms| now_ms.unsigned_abs() << 20);
        Self {
            trace,
            timeline: Timeline::new(settings.speed, stamps, settings.gap_max),
            seq_from: settings.ask_acks.then_some(first_seq),
            rows: 0,
            due: None,
            encoded: Vec::with_capacity(256),
        }
    }

    /// Rows so far that were no report and are not sent.
    pub fn unusable(&self) -> &Unusable {
        self.trace.unusable()
    }

    /// Encodes the next row and gives its time; `None` at the end.
    fn read(&mut self) -> Result<Option<Duration>, TraceError> {
        let Some(row) = self.trace.next_row()? else { return Ok(None) };
        self.rows += 1;
        let place = self.timeline.place(row.event_time_ms.unwrap_or_default());
        let seq = self.seq_from.map(|from| from.wrapping_add(self.rows));
        self.encoded.clear();
        encode(&Report { event_time_ms: Some(place.stamp_ms), seq, ..row }, &mut self.encoded);
        Ok(Some(place.due))
    }
}

impl Source for Replay {
    fn next(&mut self, elapsed: Duration, out: &mut Vec<u8>) -> Result<Next, TraceError> {
        if self.due.is_none() {
            self.due = self.read()?;
        }
        let Some(due) = self.due else { return Ok(Next::End) };
        if due > elapsed {
            return Ok(Next::Wait(due - elapsed));
        }
        self.due = None;
        out.extend_from_slice(&self.encoded);
        Ok(Next::Report { emergency: false })
    }

    fn total(&self) -> Option<u64> {
        None
    }
}
