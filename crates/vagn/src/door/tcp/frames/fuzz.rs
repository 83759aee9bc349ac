//! A stream of any bytes: it gives the same reports however it arrives, and no more than one object of it is kept.

use vagn_fuzz::Target;
use vagn_wire::MAX_OBJECT;

use super::Cut;
use super::tests::frames;

/// What came of a stream: the answers that its reports ask for, and the number of reports.
#[derive(Debug, Default, PartialEq)]
struct Read {
    asked: Vec<(usize, u64)>,
    reports: usize,
    broken: bool,
}

fn body(bytes: &[u8]) {
    let whole = read(bytes, bytes.len().max(1));
    // Byte by byte takes the square of a long stream's length.
    for size in [if bytes.len() < 1_000 { 1 } else { 37 }, 79] {
        assert_eq!(read(bytes, size), whole, "in pieces of {size}");
    }
    assert!(whole.reports <= bytes.len(), "no report of nothing");
}

fn read(stream: &[u8], size: usize) -> Read {
    let mut frames = frames();
    let mut read = Read::default();
    for piece in stream.chunks(size) {
        frames.bytes().extend_from_slice(piece);
        loop {
            match frames.cut() {
                Cut::Parcel(parcel) => read.take(&parcel),
                Cut::More => break,
                Cut::Broken => {
                    read.broken = true;
                    return read;
                }
            }
        }
        assert!(frames.bytes().len() <= MAX_OBJECT, "{} bytes are kept", frames.bytes().len());
    }
    if let Some(parcel) = frames.rest() {
        read.take(&parcel);
    }
    read
}

impl Read {
    fn take(&mut self, parcel: &super::Parcel) {
        self.asked.extend(parcel.asked.iter().map(|one| (self.reports + one.index.unwrap_or(0), one.seq)));
        self.reports += parcel.batch.len();
    }
}

#[test]
fn any_stream_gives_the_same_reports_however_it_arrives() {
    let words = &["ID", "Lon", "Lat", "Emergency", "Seq", "\u{0}", "\u{1}"];
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "stream", words, body }.check();
}

#[test]
fn the_corpus_of_streams_is_of_this_format() {
    let report = vagn_flow::testing::report;
    let three = [report("one", None), report("two", Some(2)), report("three", None)].concat();
    let cut = three[..three.len() - 20].to_vec();
    let broken = [&three[..], &[0xc1; 9], &three[..]].concat();
    let many = report("bus", Some(1)).repeat(300);
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    let long_envelope = [&report("one", None)[..], &[0xc6], &[0xc1; 40]].concat();
    let streams = [
        ("three", three),
        ("long_envelope", long_envelope),
        ("cut_off", cut),
        ("broken", broken),
        ("more_than_a_batch", many),
        ("http_request", request),
    ];
    for (name, bytes) in streams {
        vagn_fuzz::keep(env!("CARGO_MANIFEST_DIR"), "stream", name, &bytes);
    }
}
