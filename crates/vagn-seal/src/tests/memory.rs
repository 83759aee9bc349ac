//! At most 80 bytes for a key, the table included.

use std::sync::Arc;

use vagn_fuzz::Meter;

use super::{epoch, put, vehicle};
use crate::{Epoch, KeyId, KeyTable, Secret, Secrets};

struct Elsewhere;

impl Secrets for Elsewhere {
    fn secret(&self, _: KeyId, _: Epoch) -> Option<Secret> {
        None
    }
}

/// As many as a big city has; a million cost the same each, and take the test a minute.
const KEYS: u64 = 100_000;

#[test]
fn a_key_takes_at_most_80_bytes() {
    let table = KeyTable::with_secrets(Arc::new(Elsewhere));
    let mut id = String::new();
    let ((), peak) = Meter::measure(|| {
        for number in 0..KEYS {
            id = format!("{:08x}-62ae-4f3b-8715-7b4fc9c64d14", number);
            assert!(put(
                &table,
                KeyId((number << 20).to_be_bytes()),
                vehicle(&id),
                &[(epoch(0), Secret([7; 32]))]
            ));
            let each = table.bytes() as f64 / (number + 1) as f64;
            assert!(number < KEYS / 2 || number % 997 > 0 || each <= 80.0, "{each} bytes at {number}");
        }
    });
    // What was taken from the allocator, the moment of growing included.
    let each = peak as f64 / KEYS as f64;
    assert!(each <= 82.0, "{each} bytes");
}
