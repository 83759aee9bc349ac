//! A stream cut into objects, and objects into batches. Pure: bytes in, batches out.

#[cfg(test)]
mod fuzz;

use vagn_wire::{MAX_OBJECT, Reject, object_len};

use super::ORIGIN;
use super::ack::AckRequest;
use vagn_flow::batch::BatchBuilder;

/// Bytes read from a stream and not yet cut.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    broken: bool,
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
    Parcel(Parcel),
    /// The stream has to go on first.
    More,
    /// The stream cannot go on: it stopped being msgpack, as the last parcel's last report shows.
    Broken,
}

impl Frames {
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
        while !self.broken && !parcel.batch.is_full() {
            let stream = &self.bytes[start..];
            match object_len(stream) {
                Ok(Some(length)) => {
                    parcel.push(&stream[..length]);
                    start += length;
                }
                Ok(None) => break,
                Err(reject) => {
                    self.broken = true;
                    parcel.push(garbled(stream, reject));
                    start = self.bytes.len();
                }
            }
        }
        self.bytes.drain(..start);
        match (parcel.batch.is_empty(), self.broken) {
            (false, _) => Cut::Parcel(parcel),
            (true, true) => Cut::Broken,
            (true, false) => Cut::More,
        }
    }

    /// Returns the object that was cut off at the end of the stream, if any.
    pub(super) fn rest(&mut self) -> Option<Parcel> {
        let rest = std::mem::take(&mut self.bytes);
        (!rest.is_empty()).then(|| {
            let mut parcel = Parcel::new();
            parcel.push(&rest);
            parcel
        })
    }
}

impl Parcel {
    fn new() -> Self {
        Self { batch: BatchBuilder::new(ORIGIN), asked: Vec::new() }
    }

    fn push(&mut self, object: &[u8]) {
        self.asked.extend(AckRequest::by(self.batch.len(), object));
        self.batch.push(object);
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
    use vagn_flow::testing::report;

    /// Feeds `stream` in pieces of `size` bytes; gives reports per parcel and how it ended.
    fn feed(stream: &[u8], size: usize) -> (Vec<usize>, bool, usize) {
        let mut frames = Frames::default();
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
    fn what_was_cut_off_is_a_report_too() {
        let stream = report("bus", None);
        assert_eq!(feed(&stream[..40], 40), (vec![], false, 1));
        assert_eq!(feed(&[], 1), (vec![], false, 0));
    }

    #[test]
    fn knows_which_reports_want_an_answer() {
        let mut frames = Frames::default();
        for seq in [None, Some(7), None, Some(8)] {
            frames.bytes().extend_from_slice(&report("bus", seq));
        }
        let Cut::Parcel(parcel) = frames.cut() else { panic!("four objects make a parcel") };
        let asked: Vec<_> = parcel.asked.iter().map(|one| (one.index, one.seq)).collect();
        assert_eq!(asked, [(1, 7), (3, 8)]);
    }
}
