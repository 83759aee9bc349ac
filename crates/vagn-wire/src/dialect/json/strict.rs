//! JSON by the book, read by `serde_json`: fast, and nothing is taken of what has a fault.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::bad_body::BadBody;
use super::limits::{ENTRIES_MAX, TEXT_MAX};
use crate::decode::fields::Field;
use crate::dialect::reports::{REPORTS_MAX, Reports, TooMany};
use crate::encode::string;
use crate::marker::{FALSE, FIXARRAY, FIXMAP, FLOAT64, INT64, MAP16, NIL, TRUE, UINT64};

/// Appends all reports of `text`, or fails at the first thing that is wrong; some may have been appended then.
///
/// # Errors
/// When it is not JSON, holds something other than objects, or too many of them.
pub(super) fn read(text: &[u8], reports: &mut Reports) -> Result<(), BadBody> {
    let mut parser = serde_json::Deserializer::from_slice(text);
    loop {
        TopLevel(reports).deserialize(&mut parser).map_err(|err| refusal(&err, reports))?;
        if parser.end().is_ok() {
            return Ok(());
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
