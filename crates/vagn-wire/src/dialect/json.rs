//! Reports in JSON: one object, an array of them, or one after another with or without line breaks (NDJSON).
//!
//! Each becomes the msgpack that a vehicle would have sent, so that one decoder judges all doors alike. It is written while
//! the body is read: no tree of values is built, and the memory is a small multiple of the body.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::reports::{REPORTS_MAX, Reports, TooMany};
use crate::decode::fields::Field;
use crate::encode::string;
use crate::marker::{FALSE, FIXARRAY, FIXMAP, FLOAT64, INT64, MAP16, NIL, TRUE, UINT64};

/// Most entries of one object that are passed on. An object that repeats its keys more often is no report.
const ENTRIES_MAX: u16 = 16;

/// Longest text that is passed on, in bytes. An id may have 64, so a text that is cut here is refused all the same, while
/// the report stays shorter than a datagram.
const TEXT_MAX: usize = 96;

/// Words that many writers of JSON put for an unknown number, although JSON does not have them.
const NOT_NUMBERS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];

/// A number beyond this may be too large for the parser. No field of a report comes near it.
const NUMBER_MAX: f64 = 1e300;

/// Reads all of `body`, or nothing of it.
///
/// # Errors
/// When the body is not JSON, holds something other than objects, or too many of them.
pub fn split(body: &[u8]) -> Result<Reports, BadBody> {
    read(body).or_else(|bad| match without_not_numbers(body) {
        Some(body) => read(&body),
        None => Err(bad),
    })
}

/// The reason why nothing of a body is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// The body is not JSON, or not made of objects; the parser says where.
    #[error("the body is not JSON positions: {0}; nothing of it was taken")]
    NotReports(String),
    /// The body holds more than [`REPORTS_MAX`] reports.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// Puts an empty text in place of each `NaN`, `1e999` and the like; `None` if there are none. An empty text is a value of the
/// wrong type, which the decoder judges: a coordinate that is not a number must not hide the alarm beside it.
fn without_not_numbers(body: &[u8]) -> Option<Vec<u8>> {
    let mut clean = body.to_vec();
    let mut at = 0;
    let mut in_text = false;
    let mut found = false;
    while at < clean.len() {
        let mut len = 1;
        match clean[at] {
            b'\\' if in_text => len = 2,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            _ => {
                len = word(&clean[at..]).len().max(1);
                if is_no_number(&clean[at..at + len]) {
                    clean[at..at + len].fill(b' ');
                    clean[at..at + 2].fill(b'"');
                    found = true;
                }
            }
        }
        at += len;
    }
    found.then_some(clean)
}

/// Returns the whole name or number at the start of `rest`.
fn word(rest: &[u8]) -> &[u8] {
    let len = rest.iter().take_while(|byte| is_part_of_word(**byte)).count();
    &rest[..len]
}

fn is_part_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

/// Returns true when `word` stands for a number but is none, or is too large to be read.
fn is_no_number(word: &[u8]) -> bool {
    // Rust also reads words like `-inf` and a leading `+`, which are no numbers in JSON.
    let written = word.first() != Some(&b'+') && word.last().is_some_and(u8::is_ascii_digit);
    let value = std::str::from_utf8(word).ok().and_then(|text| text.parse::<f64>().ok());
    NOT_NUMBERS.contains(&word) || (written && value.is_some_and(|value| value.abs() > NUMBER_MAX))
}

fn read(body: &[u8]) -> Result<Reports, BadBody> {
    let mut reports = Reports::default();
    let mut parser = serde_json::Deserializer::from_slice(body);
    loop {
        TopLevel(&mut reports).deserialize(&mut parser).map_err(|err| refusal(&err, &reports))?;
        if parser.end().is_ok() {
            return Ok(reports);
        }
    }
}

fn refusal(err: &serde_json::Error, reports: &Reports) -> BadBody {
    if err.is_data() && reports.len() == REPORTS_MAX {
        return TooMany.into();
    }
    BadBody::NotReports(err.to_string())
}

/// Reads one object, or an array of objects.
struct TopLevel<'a>(&'a mut Reports);

impl<'de> DeserializeSeed<'de> for TopLevel<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TopLevel<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a position object or an array of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Object(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        Object(self.0).visit_map(map)
    }
}

/// Reads one object as a report.
struct Object<'a>(&'a mut Reports);

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a position object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let out = &mut self.0.bytes;
        let head = out.len();
        // The number of entries is known only at the end of the object, so the head is wide enough for all and filled in then.
        out.extend_from_slice(&[MAP16, 0, 0]);
        let mut entries = 0u16;
        while let Some(key) = map.next_key_seed(Key)? {
            match key.filter(|_| entries < ENTRIES_MAX) {
                None => _ = map.next_value::<IgnoredAny>()?,
                Some(field) => {
                    string(out, field.key());
                    map.next_value_seed(ValueWriter(out))?;
                    entries += 1;
                }
            }
        }
        out[head + 1..head + 3].copy_from_slice(&entries.to_be_bytes());
        self.0.close().map_err(A::Error::custom)
    }
}

/// Reads a key: a field of a report, or `None` for a key that is to be skipped.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Field::of(name.as_bytes()))
    }
}

/// Reads a value, and writes it as msgpack of the same type.
struct ValueWriter<'a>(&'a mut Vec<u8>);

impl ValueWriter<'_> {
    fn put<const N: usize, E>(self, marker: u8, bytes: [u8; N]) -> Result<(), E> {
        self.0.push(marker);
        self.0.extend_from_slice(&bytes);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for ValueWriter<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueWriter<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.put(NIL, [])
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.put(if value { TRUE } else { FALSE }, [])
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.put(UINT64, value.to_be_bytes())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.put(INT64, value.to_be_bytes())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.put(FLOAT64, value.to_be_bytes())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        string(self.0, &value[..value.floor_char_boundary(TEXT_MAX)]);
        Ok(())
    }

    /// Writes an empty list: no field of a report is a list, and an empty one is refused for its type just as well.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.put(FIXARRAY, [])
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.put(FIXMAP, [])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, MAX_DATAGRAM, Reject, decode};

    /// Checks the id of each report of `body`, or the reason why the decoder refuses it.
    fn check(body: &str, ids: &[Result<&str, Reject>]) {
        let reports = split(body.as_bytes()).unwrap();
        let got: Vec<_> = reports.iter().map(|each| decode(each).map(|it| it.vehicle_id.as_str())).collect();
        assert_eq!(got, ids, "{body}");
    }

    fn check_refused(body: &str, why: &str) {
        let bad = split(body.as_bytes()).unwrap_err();
        assert!(bad.to_string().contains(why), "{body}: {bad:?}");
    }

    #[test]
    fn takes_one_many_a_list_and_lines() {
        let (a, b) =
            (r#"{"ID":"a","Lat":1,"Lon":2}"#, r#"{"Lon":-2.5,"ID":"b","Lat":1e1,"Emergency":false}"#);
        check(a, &[Ok("a")]);
        check(&format!(" {a}\n{b}\n\n"), &[Ok("a"), Ok("b")]);
        check(&format!("{a}{b}"), &[Ok("a"), Ok("b")]);
        check(&format!("[{a},{b}]"), &[Ok("a"), Ok("b")]);
        check("[]", &[]);
    }

    #[test]
    fn carries_every_field_bit_for_bit() {
        let body = r#"{"ID":"båt 7","Lat":-36.473453453,"Lon":77.321235,"Emergency":true,"Ts":1790000000123,"Seq":9,
            "Speed":12.5,"Heading":359.5,"Kind":"manual","Inc":"i-1","Note":{"deep":[1,[2,{"x":null}]]}}"#;
        let reports = split(body.as_bytes()).unwrap();
        let report = decode(reports.iter().next().unwrap()).unwrap();
        let position = report.position.unwrap();
        assert_eq!(report.vehicle_id.as_str(), "båt 7");
        assert_eq!((position.lat(), position.lon()), (-36.473453453, 77.321235));
        assert!(report.emergency);
        assert_eq!((report.event_time_ms, report.seq), (Some(1_790_000_000_123), Some(9)));
        assert_eq!((report.speed_mps, report.heading_deg), (Some(12.5), Some(359.5)));
        assert_eq!((report.kind, report.incident), (Some(Kind::Manual), Some("i-1")));
    }

    #[test]
    fn leaves_the_judgement_to_the_decoder() {
        check("{}", &[Err(Reject::NoId)]);
        check(r#"{"id":"a","Lat":1,"Lon":2}"#, &[Err(Reject::NoId)]);
        check(r#"{"ID":7,"Lat":1,"Lon":2}"#, &[Err(Reject::BadType)]);
        check(r#"{"ID":"a","Lat":"1","Lon":2}"#, &[Err(Reject::BadType)]);
        check(r#"{"ID":"a","Lat":[1],"Lon":2}"#, &[Err(Reject::BadType)]);
        check(r#"{"ID":"a","Lat":91,"Lon":2}"#, &[Err(Reject::Latitude)]);
        check(r#"{"ID":"a","Lat":1}"#, &[Err(Reject::NoLongitude)]);
        check(&format!(r#"{{"ID":"{}","Lat":1,"Lon":2}}"#, "é".repeat(5_000)), &[Err(Reject::BadId)]);
    }

    #[test]
    fn an_emergency_counts_whatever_its_position() {
        let reports = split(br#"{"ID":"a","Emergency":true,"Lat":"here","Lon":null}"#).unwrap();
        let report = decode(reports.iter().next().unwrap()).unwrap();
        assert!(report.emergency && report.position.is_err());
    }

    #[test]
    fn a_number_that_is_none_is_a_fault_of_its_own_report_only() {
        let body = r#"[{"ID":"NaN \" NaN","Lat":1,"Lon":2},{"ID":"a","Lat":NaN,"Lon":-Infinity},{"ID":"b","Lat":1,"Lon":2}]"#;
        check(body, &[Ok("NaN \" NaN"), Err(Reject::BadType), Ok("b")]);
        let reports = split(br#"{"ID":"a","Lat":Infinity,"Lon":NaN,"Emergency":true,"Speed":NaN}"#).unwrap();
        let report = decode(reports.iter().next().unwrap()).unwrap();
        assert!(report.emergency && report.position.is_err() && report.speed_mps.is_none());
    }

    #[test]
    fn a_number_too_large_to_be_read_is_a_fault_of_its_own_report_only() {
        let digits = "9".repeat(400);
        for huge in ["1e999", "-1e999", "1.8E+308", "1e99999999999999999999", &digits] {
            let body = format!(
                r#"[{{"ID":"1e999","Lat":1e1,"Lon":-2}},{{"ID":"a","Lat":{huge},"Lon":2}},{{"ID":"b","Lat":1,"Lon":2}}]"#
            );
            check(&body, &[Ok("1e999"), Err(Reject::BadType), Ok("b")]);
            let body =
                format!(r#"{{"ID":"a","Lat":1,"Lon":{huge},"Emergency":true,"Ts":{huge},"Seq":{huge}}}"#);
            let reports = split(body.as_bytes()).unwrap();
            let report = decode(reports.iter().next().unwrap()).unwrap();
            assert!(report.emergency && report.position.is_err(), "{body}");
        }
        check_refused(r#"{"ID":"a","Lat":1e999x}"#, "line 1 column");
        check_refused(r#"{"ID":"a","Lat":-inf}"#, "line 1 column");
    }

    #[test]
    fn refuses_the_whole_body_when_a_part_is_no_object() {
        check_refused("", "EOF");
        check_refused("7", "a position object or an array of them");
        check_refused(r#"[{"ID":"a"},7]"#, "a position object");
        check_refused(r#"[[{"ID":"a"}]]"#, "a position object");
        check_refused(r#"{"ID":"a"}, {"ID":"b"}"#, "line 1 column 11");
        check_refused(r#"{"ID":"a","Lat":nan}"#, "line 1 column 18");
        check_refused(r#"{"ID":"a""#, "EOF");
        check_refused(&"[".repeat(9_000), "a position object");
        check_refused(&format!("{{\"x\":{}", "[".repeat(9_000)), "EOF");
    }

    #[test]
    fn a_report_never_outgrows_a_datagram() {
        let entry = format!(r#""Inc":"{}","#, "x".repeat(500));
        let body = format!(r#"{{{}"ID":"a"}}"#, entry.repeat(70_000 / 500));
        let reports = split(body.as_bytes()).unwrap();
        assert!(reports.bytes.len() <= MAX_DATAGRAM, "{} bytes", reports.bytes.len());
    }

    #[test]
    fn refuses_more_reports_than_one_request_may_hold() {
        let bad = split("{}".repeat(REPORTS_MAX + 1).as_bytes()).unwrap_err();
        assert_eq!(bad, BadBody::TooMany(TooMany));
    }
}
