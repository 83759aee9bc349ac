//! The test vector in `docs/wire.md` is right.

use vagn_seal::{Epoch, KeyId, Lane, Secret, SenderKey};

const DOCUMENT: &str = include_str!("../../../docs/wire.md");

/// The blocks of hex below the heading of the vector: the part of each line before the remark.
fn blocks() -> Vec<Vec<u8>> {
    let section = DOCUMENT.split("### The test vector").nth(1).expect("the document has a vector");
    let blocks = section.split("```hex\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(rest));
    blocks.map(|block| block.lines().flat_map(line).collect()).collect()
}

fn line(line: &str) -> Vec<u8> {
    let digits = line.split("  ").next().unwrap_or(line).replace(' ', "");
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("hex is ascii"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("an example in hex")).collect()
}

#[test]
fn its_vector_is_what_the_crate_seals() {
    let [secret, keys, report, datagram] = <[_; 4]>::try_from(blocks()).expect("four blocks");
    let secret = Secret(secret.try_into().expect("a secret has 32 bytes"));
    let (key_id, epoch) = (KeyId([0, 1, 2, 3, 4, 5, 6, 7]), Epoch::new(1).expect("an epoch"));
    let mut sealed = Vec::new();
    SenderKey::new(key_id, epoch, &secret).seal(1_795_860_000_000, &report, Lane::Call, &mut sealed);
    assert_eq!(sealed, datagram);
    assert!(DOCUMENT.contains(&format!("The datagram, {} bytes:", datagram.len())));
    // The keys themselves are checked inside the crate, which shows them to nobody.
    assert_eq!(keys.len(), 72);
    let inner = include_str!("../src/tests/mod.rs");
    for part in [&keys[..32], &keys[32..36], &keys[36..68], &keys[68..]] {
        let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(inner.contains(&hex), "{hex}");
    }
}
