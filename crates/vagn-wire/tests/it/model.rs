//! A second decoder to compare with: msgpack is read by `rmp-serde`, and the rules of the format follow in the plainest
//! way.

use std::str;

use rmp_serde::Deserializer;
use rmp_serde::decode::Error;
use serde::de::{Deserialize, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use vagn_wire::{MAX_DATAGRAM, Position, Reject, Report, VehicleId};

/// Gives the answer that `decode` must give.
pub(crate) fn decode(datagram: &[u8]) -> Result<Report<'_>, Reject> {
    if datagram.is_empty() {
        return Err(Reject::Empty);
    }
    let (pairs, end) = Reading::of(&datagram[..datagram.len().min(MAX_DATAGRAM)]).pairs();
    let too_long = (datagram.len() > MAX_DATAGRAM).then_some(Reject::TooLong);
    let wrong = pairs.iter().filter_map(|(key, item)| fault(key, *item));
    let fault = too_long.into_iter().chain(wrong).chain(end).next();
    report(&pairs, fault)
}

/// Length of the first object, if it is complete.
pub(crate) fn object_len(bytes: &[u8]) -> Option<u64> {
    let mut deserializer = Deserializer::new(std::io::Cursor::new(bytes));
    IgnoredAny::deserialize(&mut deserializer).ok().map(|_| deserializer.position())
}

type Pairs<'a> = Vec<(&'a [u8], Item<'a>)>;

fn report<'a>(pairs: &Pairs<'a>, fault: Option<Reject>) -> Result<Report<'a>, Reject> {
    let id = last_readable(pairs, b"ID").and_then(Item::bytes).ok_or(fault.unwrap_or(Reject::NoId))?;
    let emergency = last_readable(pairs, b"Emergency") == Some(Item::Bool(true));
    let position = position(pairs, fault);
    if let (Err(reject), false) = (position, emergency) {
        return Err(reject);
    }
    Ok(Report {
        vehicle_id: VehicleId::from_bytes(id).expect("the model found it readable"),
        position,
        emergency,
        event_time_ms: last(pairs, b"Ts").and_then(time_ms),
        seq: last(pairs, b"Seq").and_then(|item| u64::try_from(item.integer()?).ok()),
        speed_mps: last(pairs, b"Speed")
            .and_then(Item::single)
            .filter(|speed| speed.is_finite() && *speed >= 0.0),
        heading_deg: last(pairs, b"Heading").and_then(heading),
        kind: last(pairs, b"Kind").and_then(|item| str::from_utf8(item.bytes()?).ok()?.parse().ok()),
        incident: last(pairs, b"Inc").and_then(|item| name(item.bytes()?)),
        odd: vagn_wire::Oddities::NONE,
    })
}

fn position(pairs: &Pairs<'_>, fault: Option<Reject>) -> Result<Position, Reject> {
    let degrees = |key| last_readable(pairs, key).and_then(Item::number);
    match (fault, degrees(b"Lat"), degrees(b"Lon")) {
        (Some(fault), _, _) => Err(fault),
        (None, None, _) => Err(Reject::NoLatitude),
        (None, _, None) => Err(Reject::NoLongitude),
        (None, Some(lat), Some(lon)) => Position::new(lat, lon),
    }
}

/// Finds the fault of a value under a key that must have a certain type.
fn fault(key: &[u8], item: Item<'_>) -> Option<Reject> {
    match (key, item) {
        (b"ID" | b"Lat" | b"Lon" | b"Emergency", Item::Nil) => None,
        (b"ID", Item::Text(bytes)) => name(bytes).is_none().then_some(Reject::BadId),
        (b"Lat" | b"Lon", Item::Int(_) | Item::Float(_)) | (b"Emergency", Item::Bool(_)) => None,
        (b"ID" | b"Lat" | b"Lon" | b"Emergency", _) => Some(Reject::BadType),
        _ => None,
    }
}

fn last<'a>(pairs: &Pairs<'a>, wanted: &[u8]) -> Option<Item<'a>> {
    pairs.iter().rev().find(|(key, _)| *key == wanted).map(|(_, item)| *item)
}

fn last_readable<'a>(pairs: &Pairs<'a>, wanted: &[u8]) -> Option<Item<'a>> {
    let readable = |(key, item): &&(&[u8], Item<'_>)| *key == wanted && fault(key, *item).is_none();
    pairs.iter().rev().find(readable).map(|(_, item)| *item)
}

fn time_ms(item: Item<'_>) -> Option<i64> {
    match item {
        Item::Float(float) if float.is_finite() => i64::try_from(float.trunc() as i128).ok(),
        other => i64::try_from(other.integer()?).ok(),
    }
}

fn heading(item: Item<'_>) -> Option<f32> {
    let heading = item.single()?;
    (0.0..=360.0).contains(&heading).then_some(if heading == 360.0 { 0.0 } else { heading })
}

fn name(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok()?;
    ((1..=64).contains(&text.len()) && !text.chars().any(char::is_control)).then_some(text)
}

/// A value, as far as the rules make a difference between values.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Item<'a> {
    Nil,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(&'a [u8]),
    Other,
}

impl<'a> Item<'a> {
    fn bytes(self) -> Option<&'a [u8]> {
        if let Self::Text(bytes) = self { Some(bytes) } else { None }
    }

    fn integer(self) -> Option<i128> {
        if let Self::Int(integer) = self { Some(integer) } else { None }
    }

    fn number(self) -> Option<f64> {
        if let Self::Float(float) = self { Some(float) } else { self.integer().map(|integer| integer as f64) }
    }

    fn single(self) -> Option<f32> {
        self.number().map(|number| number as f32)
    }
}

/// The part that could be read before the bytes ended or made no sense.
struct Reading<'a> {
    shape: Shape,
    items: Vec<Item<'a>>,
    end: Option<Reject>,
}

enum Shape {
    Map,
    ArrayOfFour,
    Other,
}

impl<'a> Reading<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let mut reading = Self { shape: Shape::Other, items: Vec::new(), end: None };
        let mut deserializer = Deserializer::from_read_ref(bytes);
        let outcome = Collect(&mut reading).deserialize(&mut deserializer);
        reading.end = match (outcome, &reading.shape) {
            (Err(error), Shape::Map | Shape::ArrayOfFour) => Some(reject(&error)),
            (Err(error), Shape::Other) if !matches!(error, Error::Syntax(_) | Error::Utf8Error(_)) => {
                Some(reject(&error))
            }
            (_, Shape::Other) => Some(Reject::NotAReport),
            (Ok(()), _) => None,
        };
        reading
    }

    fn pairs(self) -> (Pairs<'a>, Option<Reject>) {
        let pairs = match self.shape {
            Shape::Map => {
                self.items.chunks_exact(2).filter_map(|pair| Some((pair[0].bytes()?, pair[1]))).collect()
            }
            Shape::ArrayOfFour => {
                let keys = [&b"ID"[..], b"Lat", b"Lon", b"Emergency"];
                keys.into_iter().zip(self.items).collect()
            }
            Shape::Other => Vec::new(),
        };
        (pairs, self.end)
    }
}

fn reject(error: &Error) -> Reject {
    match error {
        Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => Reject::Truncated,
        Error::TypeMismatch(_) => Reject::NotMsgpack,
        other => panic!("rmp-serde found what the rules do not know: {other}"),
    }
}

/// Reads the outermost object, and keeps the part that was read when reading fails.
struct Collect<'r, 'a>(&'r mut Reading<'a>);

impl<'de> DeserializeSeed<'de> for Collect<'_, 'de> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Collect<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a report")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.0.shape = Shape::Map;
        while let Some(key) = map.next_key()? {
            self.0.items.push(key);
            self.0.items.push(map.next_value()?);
        }
        Ok(())
    }

    fn visit_newtype_struct<D: serde::Deserializer<'de>>(self, inner: D) -> Result<(), D::Error> {
        IgnoredAny::deserialize(inner)?;
        Err(serde::de::Error::custom("an extension"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if seq.size_hint() != Some(4) {
            return Err(serde::de::Error::custom("not four"));
        }
        self.0.shape = Shape::ArrayOfFour;
        while let Some(item) = seq.next_element()? {
            self.0.items.push(item);
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Item<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyItem)
    }
}

struct AnyItem;

impl<'de> Visitor<'de> for AnyItem {
    type Value = Item<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Item<'de>, E> {
        Ok(Item::Nil)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Item<'de>, E> {
        Ok(Item::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Item<'de>, E> {
        Ok(Item::Int(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Item<'de>, E> {
        Ok(Item::Int(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Item<'de>, E> {
        Ok(Item::Float(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Item<'de>, E> {
        Ok(Item::Text(text.as_bytes()))
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Item<'de>, E> {
        Ok(Item::Text(bytes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Item<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Item::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Item::Other)
    }

    /// Extensions come as this.
    fn visit_newtype_struct<D: serde::Deserializer<'de>>(self, inner: D) -> Result<Item<'de>, D::Error> {
        IgnoredAny::deserialize(inner).map(|_| Item::Other)
    }
}
