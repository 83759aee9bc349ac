//! An envelope of any bytes: it is opened only if the holder of the key sealed exactly these.

use std::sync::LazyLock;

use vagn_fuzz::{Meter, Target, keep};

use super::{DATAGRAM, bytes, epoch, key_id, put, sealed, secret, vehicle};
use crate::{Envelope, KeyId, KeyTable, Lane, OVERHEAD, Secret, SenderKey, Speaker};

#[global_allocator]
static METER: Meter = Meter;

const WORDS: &[&str] =
    &["\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}", "\0\0\0\0\0\0\0\0", "gateway!", "\u{11}", "\u{10}"];

const GATEWAY: KeyId = KeyId(*b"gateway!");

static TABLE: LazyLock<KeyTable> = LazyLock::new(|| {
    let table = super::table();
    let depot = Speaker::Gateway { name: "depot", prefix: "bus-" };
    let epochs = [(epoch(0), Secret([1; 32])), (epoch(1), Secret([2; 32]))];
    put(&table, GATEWAY, depot, &epochs);
    put(&table, KeyId([0; 8]), vehicle("bus-0"), &[(epoch(0), Secret([3; 32]))]);
    table.revoke(KeyId([0; 8]));
    table
});

fn senders() -> [SenderKey; 3] {
    [
        SenderKey::new(key_id(), epoch(1), &secret()),
        SenderKey::new(GATEWAY, epoch(0), &Secret([1; 32])),
        SenderKey::new(GATEWAY, epoch(1), &Secret([2; 32])),
    ]
}

fn body(bytes: &[u8]) {
    let mut buffer = Vec::new();
    if let Some(envelope) = Envelope::parse(bytes) {
        assert_eq!(&envelope.clear().0[..18], &bytes[..18]);
        assert_eq!(envelope.sealed.len() + OVERHEAD - 16, bytes.len());
    }
    if let Ok(opened) = TABLE.open(bytes, &mut buffer) {
        assert!(Envelope::parse(bytes).is_some());
        let again = senders().map(|sender| sealed(&sender, opened.sequence, opened.reports, opened.lane));
        assert!(again.iter().any(|again| again == bytes), "it was opened, and none sealed it");
    }
    assert!(senders().iter().all(|sender| sender.open_answer(bytes).is_err()), "reports are no answers");
    if bytes.is_empty() {
        return;
    }
    let datagram = sealed(&senders()[0], 1, bytes, Lane::Ordinary);
    assert_eq!(TABLE.open(&datagram, &mut buffer).unwrap().reports, bytes);
}

#[test]
fn the_corpus_of_envelopes_is_of_today() {
    let check = |name, bytes: &[u8]| keep(env!("CARGO_MANIFEST_DIR"), "envelope", name, bytes);
    let [own, old, new] = senders();
    check("alarm", &bytes(DATAGRAM));
    check("ordinary", &sealed(&own, 1, b"\x82\xa3Lat\xca\0\0\0\0\xa3Lon\xca\0\0\0\0", Lane::Ordinary));
    check("gateway", &sealed(&old, u64::MAX, b"\x80\x80\x80", Lane::Ordinary));
    check("next_epoch", &sealed(&new, 0, b"\x80", Lane::Call));
    check("no_report", &sealed(&own, 2, b"", Lane::Ordinary));
    check(
        "revoked",
        &sealed(&SenderKey::new(KeyId([0; 8]), epoch(0), &Secret([3; 32])), 3, b"\x80", Lane::Ordinary),
    );
    check("random", &[&[0xc1, 0x11][..], &[0x5a; 40], &[0xc2]].concat());
}

#[test]
fn any_bytes_are_opened_only_if_they_were_sealed() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "envelope", words: WORDS, body }.check();
}
