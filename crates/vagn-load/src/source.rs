//! What is to be sent, one encoded report after another, and when.
//!
//! A source is asked with the time since the start and answers with a report, a wait or the end. It holds no clock, so a
//! test plays an hour of traffic in a moment.

use std::time::Duration;

use crate::trace::TraceError;

/// The longest a sender sleeps at a time, so that a request to stop is heard.
pub const NAP_MAX: Duration = Duration::from_millis(100);

/// A source's answer to "what is next?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A report was appended.
    Report {
        /// Whether it calls for help.
        emergency: bool,
    },
    /// Nothing is due before this much more time has gone by.
    Wait(Duration),
    /// There is nothing more to send.
    End,
}

/// Reports in the order in which they are to be sent.
pub trait Source {
    /// Appends the next report to `out` if it is due at `elapsed` since the start.
    ///
    /// # Errors
    /// When what is recorded cannot be read further.
    fn next(&mut self, elapsed: Duration, out: &mut Vec<u8>) -> Result<Next, TraceError>;

    /// How many reports there will be in all, if that is known.
    fn total(&self) -> Option<u64>;
}

/// How much was sent so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Reports, emergencies among them.
    pub reports: u64,
    /// Reports that call for help.
    pub emergencies: u64,
    /// Bytes of the reports themselves, without headers or TLS.
    pub bytes: u64,
}

/// Encoded reports that are sent together.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    ends: Vec<(usize, bool)>,
}

impl Batch {
    /// Replaces what is in the batch by up to `most` reports that are due; says what follows them.
    ///
    /// # Errors
    /// As [`Source::next`].
    pub fn fill(
        &mut self,
        source: &mut impl Source,
        elapsed: Duration,
        most: usize,
    ) -> Result<Next, TraceError> {
        self.bytes.clear();
        self.ends.clear();
        loop {
            let next = source.next(elapsed, &mut self.bytes)?;
            let Next::Report { emergency } = next else { return Ok(next) };
            self.ends.push((self.bytes.len(), emergency));
            if self.ends.len() >= most {
                return Ok(Next::Wait(Duration::ZERO));
            }
        }
    }

    /// Number of reports.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether nothing was due.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All reports, one after another.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Each report, with whether it calls for help.
    pub fn reports(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|&(end, _)| end));
        starts.zip(&self.ends).map(|(start, &(end, emergency))| (&self.bytes[start..end], emergency))
    }

    /// Adds this batch to what was sent.
    pub fn count_into(&self, tally: &mut Tally) {
        tally.reports += self.ends.len() as u64;
        tally.emergencies += self.ends.iter().filter(|(_, emergency)| *emergency).count() as u64;
        tally.bytes += self.bytes.len() as u64;
    }
}
