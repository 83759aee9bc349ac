//! The fuzz targets on stable Rust: every file of the corpus, complete, cut at every byte, and damaged.

use vagn_fuzz::{Meter, Target};

use crate::bodies;

#[global_allocator]
static METER: Meter = Meter;

/// Keys and words of reports in any form.
const WORDS: &[&str] = &[
    "ID",
    "Lon",
    "Lat",
    "Emergency",
    "Seq",
    "Time",
    "Kind",
    "Test",
    "Incident",
    "Speed",
    "Heading",
    "Fate",
    "true",
    "null",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\u0000",
    "\n",
    "1e400",
    "-0.0",
    "NaN",
];

fn check(name: &str, body: fn(&[u8])) {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name, words: WORDS, body }.check();
}

#[test]
fn any_report_is_decoded_alike_by_all_decoders() {
    check("decode", bodies::decode);
}

#[test]
fn any_datagram_is_cut_without_a_rest() {
    check("datagram", bodies::datagram);
}

#[test]
fn any_content_of_an_envelope_gives_the_reports_of_a_datagram() {
    check("datagram", bodies::contents);
}

#[test]
fn any_body_is_read_or_refused() {
    check("json", bodies::json);
}

#[test]
fn any_stream_has_one_length_of_its_first_object() {
    check("object_len", bodies::object_len);
}

#[test]
fn any_answer_is_read_as_it_was_written() {
    check("ack", bodies::ack);
}
