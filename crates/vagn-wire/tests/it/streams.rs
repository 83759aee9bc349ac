//! Cutting a stream into objects.

use vagn_fuzz::seeded;
use vagn_wire::{MAX_OBJECT, Reject, object_len};

use crate::bodies;
use crate::inputs::report;
use crate::msgpack::Object;

fn check(stream: &[u8], want: Result<Option<usize>, Reject>) {
    assert_eq!(object_len(stream), want, "{} bytes: {:02x?}", stream.len(), &stream[..stream.len().min(32)]);
    bodies::object_len(stream);
}

#[test]
fn an_object_of_any_type_has_a_length() {
    for object in [
        Object::Nil,
        Object::Int(-1),
        Object::Uint(u64::MAX),
        Object::F32(1.0),
        Object::Ext(5, vec![0; 16]),
        Object::Ext(5, vec![0; 17]),
        Object::Array(vec![]),
        Object::Map(vec![(Object::Nil, Object::Array(vec!["x".into(), Object::Bin(vec![0; 300])]))]),
    ] {
        for wider in 0..4 {
            let mut bytes = object.bytes_widened(&mut || wider);
            let len = bytes.len();
            bytes.push(0xc1);
            check(&bytes, Ok(Some(len)));
        }
    }
}

#[test]
fn an_object_of_2048_bytes_is_whole_and_one_more_is_too_long() {
    let sized = |len: usize| Object::Bin(vec![7; len - 3]).bytes();
    check(&sized(MAX_OBJECT), Ok(Some(MAX_OBJECT)));
    check(&sized(MAX_OBJECT)[..MAX_OBJECT - 1], Ok(None));
    check(&sized(MAX_OBJECT + 1), Err(Reject::TooLong));
}

#[test]
fn an_object_that_cannot_end_in_time_is_refused_at_once() {
    check(b"\xdd\xff\xff\xff\xff", Err(Reject::TooLong));
    check(b"\xdf\x00\x00\x08\x00", Err(Reject::TooLong));
    // Three bytes of head, and each object takes one at least: 2045 fit.
    check(b"\xdc\x07\xfd", Ok(None));
    check(b"\xdc\x07\xfe", Err(Reject::TooLong));
    check(b"\xdb\xff\xff\xff\xff", Err(Reject::TooLong));
    check(b"\xc6\x00\x00\x08\x00", Err(Reject::TooLong));
    check(b"\x92\xa1x\xc8\x08\x00", Err(Reject::TooLong));
}

#[test]
fn endless_nesting_is_too_long() {
    check(&[0x91; MAX_OBJECT], Err(Reject::TooLong));
    check(&[0x81; MAX_OBJECT], Err(Reject::TooLong));
}

#[test]
fn the_byte_that_begins_nothing_ends_the_stream() {
    check(b"\xc1", Err(Reject::NotMsgpack));
    check(b"\x92\x01\xc1", Err(Reject::NotMsgpack));
    check(b"", Ok(None));
}

/// Does as a door does: appends what arrived, and takes complete objects off the front.
fn cut(stream: &[u8], arrivals: impl Iterator<Item = usize>) -> Vec<Vec<u8>> {
    let (mut objects, mut buffer, mut rest) = (Vec::new(), Vec::new(), stream);
    for arrival in arrivals {
        let (now, later) = rest.split_at(arrival.min(rest.len()));
        buffer.extend_from_slice(now);
        rest = later;
        while let Some(len) = object_len(&buffer).expect("the stream is msgpack") {
            objects.push(buffer.drain(..len).collect());
        }
        if rest.is_empty() {
            break;
        }
    }
    objects
}

#[test]
fn a_stream_gives_the_same_objects_however_it_arrives() {
    let mut chance = seeded();
    for _ in 0..200 {
        let objects: Vec<_> = (0..chance.usize(1..20)).map(|_| report(&mut chance).bytes()).collect();
        let stream = objects.concat();
        assert_eq!(cut(&stream, std::iter::repeat(1)), objects, "byte by byte");
        let pieces = std::iter::repeat_with(|| chance.usize(1..200));
        assert_eq!(cut(&stream, pieces), objects, "in pieces");
    }
}
