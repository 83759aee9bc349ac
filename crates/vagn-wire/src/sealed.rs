//! Reports in an envelope: those of a datagram, but one may leave out its id where the key names one vehicle.
//!
//! What an envelope proves, and how it is opened, is no part of this crate. In a stream it is the content of a msgpack `bin`.

use crate::complete::{Whose, complete, report_len};
use crate::datagram::begins_report;
use crate::marker::{BIN8, BIN16, BIN32, FIXMAP, MAP32};
use crate::{VehicleId, decode};

/// First byte of an envelope; it begins nothing in msgpack.
const FIRST_BYTE: u8 = 0xc1;

/// Returns the envelope that an object of a stream holds, if it is one: a `bin` whose content begins like an envelope.
#[inline]
pub fn envelope(object: &[u8]) -> Option<&[u8]> {
    let head = match *object.first()? {
        BIN8 => 2,
        BIN16 => 3,
        BIN32 => 5,
        _ => return None,
    };
    object.get(head..).filter(|content| content.first() == Some(&FIRST_BYTE))
}

/// Content of an envelope, in clear, of which reports are taken one by one.
#[derive(Debug)]
pub struct Contents<'a> {
    /// `None` once all is taken.
    rest: Option<&'a [u8]>,
    stands_for: Option<VehicleId<'a>>,
}

/// A report that was taken out of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// It left out its vehicle's id, or had none that can be read; that of the key was put in.
    pub was_completed: bool,
    /// It is of the vehicle that the key stands for: completed, or with that id in it. A decoder finds that one, or no report.
    pub is_own: bool,
}

impl<'a> Contents<'a> {
    /// Takes content apart. Reports without an id that can be read are those of `stands_for`.
    pub fn new(content: &'a [u8], stands_for: Option<VehicleId<'a>>) -> Self {
        Self { rest: Some(content), stands_for }
    }

    /// Appends the next report to `out`, completed where it leaves out its id; `None` when there are no more. There is one at least.
    ///
    /// As in a datagram, what follows a report that can be used is another, as long as it begins like one; the rest is padding.
    pub fn take(&mut self, out: &mut Vec<u8>) -> Option<Taken> {
        let rest = self.rest.take()?;
        let start = out.len();
        let (whose, end) = match self.stands_for {
            Some(vehicle_id) => complete(rest, vehicle_id, out),
            None => (Whose::Other, report_len(rest)),
        };
        if whose != Whose::Completed {
            out.extend_from_slice(&rest[..end]);
        }
        if begins_report(&rest[end..]) && decode(&out[start..]).is_ok() {
            self.rest = Some(&rest[end..]);
        }
        Some(Taken { was_completed: whose == Whose::Completed, is_own: whose != Whose::Other })
    }
}

/// Returns true for the first bytes of an object that can be an element of a list of reports: a map, an array, or an envelope.
pub(crate) fn begins_element(bytes: &[u8]) -> bool {
    match bytes {
        [FIXMAP..=0x9f, ..] => true,
        [first, ..] if (crate::marker::ARRAY16..=MAP32).contains(first) => true,
        _ => envelope(bytes).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::MAP16;
    use crate::{Position, Report, encode};

    fn id(text: &str) -> VehicleId<'_> {
        VehicleId::new(text).unwrap()
    }

    fn report(vehicle_id: &str, emergency: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let place = Position::new(1.5, -2.5).unwrap();
        encode(&Report { emergency, ..Report::new(id(vehicle_id), place) }, &mut bytes);
        bytes
    }

    /// The same without its pair `ID`.
    fn nameless(emergency: bool) -> Vec<u8> {
        let named = report("x", emergency);
        [&[named[0] - 1], &named[6..]].concat()
    }

    /// Reports in `content`, and whether each was completed.
    fn taken(content: &[u8], stands_for: Option<&str>) -> Vec<(Vec<u8>, bool)> {
        let mut contents = Contents::new(content, stands_for.map(id));
        let mut all = Vec::new();
        let mut out = Vec::new();
        while let Some(Taken { was_completed, .. }) = contents.take(&mut out) {
            all.push((std::mem::take(&mut out), was_completed));
        }
        all
    }

    #[test]
    fn a_report_without_an_id_is_that_of_the_vehicle_the_key_stands_for() {
        let content = [nameless(false), report("other", false), nameless(true)].concat();
        let expected =
            [(report("bus 7", false), true), (report("other", false), false), (report("bus 7", true), true)];
        assert_eq!(taken(&content, Some("bus 7")), expected);
        assert_eq!(taken(&nameless(false), None), [(nameless(false), false)]);
    }

    #[test]
    fn padding_ends_an_envelope_and_an_empty_one_is_one_report() {
        let padded = [&nameless(false)[..], &[0, 0, 0]].concat();
        assert_eq!(taken(&padded, Some("bus 7")), [(report("bus 7", false), true)]);
        assert_eq!(taken(b"", Some("bus 7")), [(Vec::new(), false)]);
    }

    #[test]
    fn a_call_that_breaks_off_is_completed_all_the_same() {
        let broken = b"\x84\xa9Emergency\xc3\xa3Lat";
        let [(bytes, true)] = &taken(broken, Some("bus 7"))[..] else { panic!("it is one report") };
        let decoded = decode(bytes).unwrap();
        assert!(decoded.emergency && decoded.vehicle_id == id("bus 7") && decoded.position.is_err());
    }

    #[test]
    fn a_map_of_fifteen_pairs_gets_a_longer_head() {
        let pairs: Vec<u8> = (0..12).flat_map(|key| [key, key]).collect();
        let full = [&[0x8f][..], &nameless(false)[1..], &pairs].concat();
        let [(bytes, true)] = &taken(&full, Some("bus 7"))[..] else { panic!("it is one report") };
        assert_eq!((bytes[0], decode(bytes).unwrap().vehicle_id), (MAP16, id("bus 7")));
    }

    #[test]
    fn an_envelope_in_a_stream_is_a_bin_that_begins_like_one() {
        assert_eq!(envelope(&[0xc4, 2, 0xc1, 7]), Some(&[0xc1, 7][..]));
        assert_eq!(envelope(&[0xc5, 0, 2, 0xc1, 7]), Some(&[0xc1, 7][..]));
        assert_eq!(envelope(&[0xc6, 0, 0, 0, 1, 0xc1]), Some(&[0xc1][..]));
        for other in [&[][..], &[0xc4], &[0xc4, 0], &[0xc4, 1, 0x80], &[0xc1, 0xc1], &[0xa1, 0xc1]] {
            assert_eq!(envelope(other), None, "{other:x?}");
        }
    }
}
