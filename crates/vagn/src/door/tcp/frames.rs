//! A stream cut into objects, and objects into batches. Pure: bytes in, batches out.

use std::sync::Arc;

#[cfg(test)]
mod fuzz;

use vagn_flow::allowance::Source;
use vagn_flow::guard::{Content, Guard};
use vagn_flow::proof::Proof;
use vagn_wire::sealed::envelope;
use vagn_wire::{MAX_OBJECT, Reject, object_len};

use super::ORIGIN;
use super::ack::AckRequest;
use vagn_flow::batch::{BATCH_MAX, BatchBuilder};

/// Bytes read from a stream and not yet cut.
#[derive(Debug)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    broken: bool,
    entrance: Entrance,
}

/// What is asked of each object before it comes into a batch.
#[derive(Debug)]
struct Entrance {
    guard: Arc<Guard>,
    source: Source,
    /// Buffer for what is in an envelope.
    content: Content,
}

/// Objects of a stream, with the answers that they ask for.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) batch: BatchBuilder,
    pub(super) asked: Vec<AckRequest>,
}

/// A result of [`Frames::cut`].
#[derive(Debug)]
pub(super) enum Cut {
    /// These whole objects; there may be more.
    Parcel(Box<Parcel>),
    /// The stream has to go on first.
    More,
    /// The stream cannot go on: it stopped being msgpack, as the last parcel's last report shows.
    Broken,
}

impl Frames {
    /// Cuts the stream of this source. `guard` judges what comes in.
    pub(super) fn new(guard: Arc<Guard>, source: Source) -> Self {
        let entrance = Entrance { guard, source, content: Content::default() };
        Self { bytes: Vec::new(), broken: false, entrance }
    }

    /// Returns the buffer to read into.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Takes up to a batch of whole objects off the front.
    ///
    /// Where the stream stops being msgpack, its next bytes go along as one report: it will be found invalid, or to be
    /// an alarm that came out garbled.
    pub(super) fn cut(&mut self) -> Cut {
        let mut parcel = Parcel::new();
        let mut start = 0;
        while !self.broken && !parcel.is_full() {
            let stream = &self.bytes[start..];
            match object_len(stream) {
                Ok(Some(length)) => {
                    parcel.push(&stream[..length], &mut self.entrance);
                    start += length;
                }
                Ok(None) => break,
                Err(reject) => {
                    self.broken = true;
                    // Not as an envelope, even where it begins like one: how much of it is here is chance.
                    parcel.push_open(garbled(stream, reject), &mut self.entrance);
                    start = self.bytes.len();
                }
            }
        }
        self.bytes.drain(..start);
        match (parcel.is_empty() && start == 0, self.broken) {
            (false, _) => Cut::Parcel(Box::new(parcel)),
            (true, true) => Cut::Broken,
            (true, false) => Cut::More,
        }
    }

    /// Returns the object that was cut off at the end of the stream, if any.
    pub(super) fn rest(&mut self) -> Option<Parcel> {
        let rest = std::mem::take(&mut self.bytes);
        (!rest.is_empty()).then(|| {
            let mut parcel = Parcel::new();
            parcel.push(&rest, &mut self.entrance);
            parcel
        })
    }
}

impl Parcel {
    fn new() -> Self {
        Self { batch: BatchBuilder::new(ORIGIN), asked: Vec::new() }
    }

    /// Returns true when it holds nothing that is to be published or answered.
    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.asked.is_empty()
    }

    /// True when it has no room for another object. Answers that are owed take room as well as reports.
    fn is_full(&self) -> bool {
        self.batch.is_full() || self.asked.len() >= BATCH_MAX
    }

    fn push(&mut self, object: &[u8], entrance: &mut Entrance) {
        if let Some(envelope) = envelope(object) {
            return self.push_sealed(envelope, entrance);
        }
        self.push_open(object, entrance);
    }

    /// Takes a report in clear.
    fn push_open(&mut self, object: &[u8], entrance: &mut Entrance) {
        let is_taken = entrance.guard.check(object, Proof::None, || Some(entrance.source)).is_ok();
        self.ask(is_taken, object);
        if is_taken {
            self.batch.push(object);
        }
    }

    /// Takes the reports in an envelope. One that stays closed is counted, and its sender hears nothing.
    fn push_sealed(&mut self, envelope: &[u8], entrance: &mut Entrance) {
        let Entrance { guard, source, content } = entrance;
        if guard.open(envelope, || Some(*source), content).is_err() {
            return;
        }
        for entry in content.entries() {
            self.ask(entry.refused.is_none(), entry.bytes);
            if entry.refused.is_none() {
                self.batch.push_marked(entry.bytes, entry.mark);
                self.batch.seal_last(entry.seal);
            }
        }
    }

    /// Notes the answer that a report asks for, which is at the end of the batch if it is taken in.
    fn ask(&mut self, is_taken: bool, report: &[u8]) {
        let index = is_taken.then_some(self.batch.len());
        self.asked.extend(AckRequest::by(index, report));
    }
}

/// As much of a broken stream as shows what was wrong with it.
fn garbled(stream: &[u8], reject: Reject) -> &[u8] {
    let shown = if reject == Reject::TooLong { MAX_OBJECT + 1 } else { MAX_OBJECT };
    &stream[..stream.len().min(shown)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
    use vagn_flow::testing::report;

    pub(super) fn frames() -> Frames {
        let reports = ReportMetrics::new(&MetricRegistry::new());
        Frames::new(Guard::open_to_all(reports), std::net::IpAddr::from([192, 0, 2, 1]).into())
    }

    /// Feeds `stream` in pieces of `size` bytes; gives reports per parcel and how it ended.
    fn feed(stream: &[u8], size: usize) -> (Vec<usize>, bool, usize) {
        let mut frames = frames();
        let mut parcels = Vec::new();
        for piece in stream.chunks(size) {
            frames.bytes().extend_from_slice(piece);
            loop {
                match frames.cut() {
                    Cut::Parcel(parcel) => parcels.push(parcel.batch.len()),
                    Cut::More => break,
                    Cut::Broken => return (parcels, true, 0),
                }
            }
        }
        let rest = frames.rest().map_or(0, |parcel| parcel.batch.len());
        (parcels, false, rest)
    }

    #[test]
    fn cuts_the_same_objects_however_they_arrive() {
        let stream = [report("one", None), report("two", Some(2)), report("three", None)].concat();
        for size in [1, 2, 79, stream.len()] {
            let (parcels, broken, rest) = feed(&stream, size);
            assert_eq!((parcels.iter().sum::<usize>(), broken, rest), (3, false, 0), "in pieces of {size}");
        }
    }

    #[test]
    fn fills_a_batch_and_begins_the_next() {
        let stream = report("bus", None).repeat(600);
        assert_eq!(feed(&stream, stream.len()).0, [256, 256, 88]);
    }

    #[test]
    fn a_stream_that_stops_being_msgpack_is_one_more_report_and_the_end() {
        let good = report("bus", None);
        for bad in [vec![0xc1; 10], vec![0xc1; 100_000], vec![0xdd; 5], vec![0x91; 5_000]] {
            let stream = [good.clone(), bad.clone(), good.clone()].concat();
            let (parcels, broken, rest) = feed(&stream, stream.len());
            assert_eq!((parcels.iter().sum::<usize>(), broken, rest), (2, true, 0), "{:x?}…", &bad[..5]);
        }
    }

    #[test]
    fn a_stream_that_breaks_at_a_far_too_long_envelope_ends_alike_however_it_arrives() {
        let long_bin = [&[0xc6][..], &[0xc1; 40]].concat();
        let stream = [report("bus", None), long_bin].concat();
        for size in [1, 7, stream.len()] {
            let (parcels, broken, rest) = feed(&stream, size);
            assert_eq!((parcels.iter().sum::<usize>(), broken, rest), (2, true, 0), "in pieces of {size}");
        }
    }

    #[test]
    fn what_was_cut_off_is_a_report_too() {
        let stream = report("bus", None);
        assert_eq!(feed(&stream[..40], 40), (vec![], false, 1));
        assert_eq!(feed(&[], 1), (vec![], false, 0));
    }

    #[test]
    fn knows_which_reports_want_an_answer() {
        let mut frames = frames();
        for seq in [None, Some(7), None, Some(8)] {
            frames.bytes().extend_from_slice(&report("bus", seq));
        }
        let Cut::Parcel(parcel) = frames.cut() else { panic!("four objects make a parcel") };
        let asked: Vec<_> = parcel.asked.iter().map(|one| (one.index, one.seq)).collect();
        assert_eq!(asked, [(Some(1), 7), (Some(3), 8)]);
    }
}
