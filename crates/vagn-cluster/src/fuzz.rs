//! Messages between nodes with any content: each is read as what would be written so, or refused, and takes no more memory than it explains.

use vagn_fuzz::{Meter, Target};

use crate::bytes::{SEAL_LEN, seal};
use crate::message::{Message, tests};

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

#[global_allocator]
static METER: Meter = Meter;

fn message(bytes: &[u8]) {
    check(bytes);
    // With a hash that fits, as no accident leaves it.
    let mut sealed = bytes[..bytes.len().saturating_sub(SEAL_LEN)].to_vec();
    seal(&mut sealed);
    check(&sealed);
}

fn check(bytes: &[u8]) {
    if let Ok(message) = Message::read(bytes) {
        assert_eq!(message.write(), bytes, "a form is the only one of its message");
    }
}

#[test]
fn any_message_is_read_whole_or_refused() {
    Target { crate_dir: CRATE, name: "message", words: &[], body: message }.check();
}

#[test]
fn the_corpus_of_messages_is_of_this_format() {
    for (name, message) in tests::named() {
        vagn_fuzz::keep(CRATE, "message", &name, &message.write());
    }
}
