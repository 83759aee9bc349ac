//! The reports of one body: raw msgpack objects, one after another, as a door would have received them.

/// Most reports in one body. Bounds the work and the answer; a feed that has more sends more requests.
pub const REPORTS_MAX: usize = 50_000;

/// Raw reports in one piece of memory.
#[derive(Debug, Default)]
pub struct Reports {
    /// The reports, and the bytes of one that is being written: it is appended here and then closed.
    pub(super) bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Reports {
    /// Makes one report of everything written since the last close.
    ///
    /// # Errors
    /// When there are [`REPORTS_MAX`] reports already.
    pub(super) fn close(&mut self) -> Result<(), TooMany> {
        if self.ends.len() == REPORTS_MAX {
            return Err(TooMany);
        }
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// Appends one report as it is.
    ///
    /// # Errors
    /// When there are [`REPORTS_MAX`] reports already.
    pub(super) fn push(&mut self, report: &[u8]) -> Result<(), TooMany> {
        self.bytes.extend_from_slice(report);
        self.close()
    }

    /// Returns the number of reports.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns true when there are no reports.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Lists the bytes of each report, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|at| {
            let start = if at == 0 { 0 } else { self.ends[at - 1] };
            &self.bytes[start..self.ends[at]]
        })
    }
}

/// The request holds more than [`REPORTS_MAX`] reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("one request may hold at most {REPORTS_MAX} reports; nothing of it was taken")]
pub struct TooMany;
