//! A second decoder to compare with: msgpack is read by `rmp-serde`, and the rules of the format follow in the plainest
//! way.

use std::str;

use rmp_serde::Deserializer;
use rmp_serde::decode::Error;
use serde::de::{Deserialize, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use vagn_wire::{MAX_DATAGRAM, Oddities, Oddity, Position, Reject, Report, VehicleId, ms_of_number};

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
    let flags = pairs.iter().rev().filter(|(key, _)| *key == b"Emergency");
    let emergency = flags.filter_map(|(_, item)| flag(*item)).next().unwrap_or(false);
    let position = position(pairs, fault);
    if let (Err(reject), false) = (position, emergency) {
        return Err(reject);
    }
    let (event_time_ms, time_odd) = last(pairs, b"Ts").map_or((None, Oddities::NONE), time_ms);
    let (speed_mps, speed_odd) = within(last(pairs, b"Speed"), 12_000.0, Oddity::SpeedImpossible);
    let (heading_deg, heading_odd) = within(last(pairs, b"Heading"), 360.0, Oddity::HeadingImpossible);
    Ok(Report {
        vehicle_id: VehicleId::from_bytes(id).expect("the model found it readable"),
        position,
        emergency,
        event_time_ms,
        seq: last(pairs, b"Seq").and_then(|item| u64::try_from(item.integer()?).ok()),
        speed_mps,
        heading_deg: heading_deg.map(|heading| if heading == 360.0 { 0.0 } else { heading }),
        kind: last(pairs, b"Kind").and_then(|item| str::from_utf8(item.bytes()?).ok()?.parse().ok()),
        incident: last(pairs, b"Inc").and_then(|item| name(item.bytes()?)),
        odd: time_odd.and(speed_odd).and(heading_odd),
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
        (b"ID" | b"Lat" | b"Lon", Item::Nil) => None,
        (b"ID", Item::Text(bytes)) => name(bytes).is_none().then_some(Reject::BadId),
        (b"Lat" | b"Lon", Item::Int(_) | Item::Float(_)) => None,
        (b"ID" | b"Lat" | b"Lon", _) => Some(Reject::BadType),
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

/// Says whether a flag is set; `None` for what does not tell.
fn flag(item: Item<'_>) -> Option<bool> {
    match item {
        Item::Nil => Some(false),
        Item::Bool(set) => Some(set),
        Item::Int(number) => Some(number != 0),
        Item::Float(number) => (!number.is_nan()).then_some(number != 0.0),
        Item::Text(bytes) => match str::from_utf8(bytes).ok()?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" | "" => Some(false),
            _ => None,
        },
        Item::Ext(..) | Item::Other => None,
    }
}

fn time_ms(item: Item<'_>) -> (Option<i64>, Oddities) {
    let read = match item {
        Item::Nil => return (None, Oddities::NONE),
        Item::Int(number) => number_ms(number),
        Item::Float(number) if number.is_finite() && (1e9..1e10).contains(&number) => {
            Some(((number * 1e3).round() as i64, Oddities::of(Oddity::TimeInSeconds)))
        }
        Item::Float(number) if number.is_finite() => number_ms(number.trunc() as i128),
        Item::Text(bytes) => str::from_utf8(bytes).ok().and_then(text_ms),
        Item::Ext(-1, bytes) => timestamp_ms(bytes),
        _ => None,
    };
    read.map_or((None, Oddities::of(Oddity::TimeUnreadable)), |(ms, odd)| (Some(ms), odd))
}

fn number_ms(number: i128) -> Option<(i64, Oddities)> {
    let in_ns = |ns: u64| ((ns / 1_000_000) as i64, Oddities::of(Oddity::TimeInNanoseconds));
    i64::try_from(number).map(ms_of_number).ok().or_else(|| u64::try_from(number).map(in_ns).ok())
}

/// Reads RFC 3339 in the plainest way: by the places of its characters, and by counting years and months.
fn text_ms(text: &str) -> Option<(i64, Oddities)> {
    let places: String =
        text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c.to_ascii_lowercase() }).collect();
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let head = places.get(..19).filter(|_| text.len() <= 64)?;
    ["0000-00-00t00:00:00", "0000-00-00 00:00:00"].contains(&head).then_some(())?;
    let zone = text[19..].trim_start_matches(['.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    let digits = &text[19..text.len() - zone.len()];
    let fraction_ms = if digits.is_empty() {
        0
    } else {
        let digits = digits.strip_prefix('.').filter(|it| !it.is_empty() && !it.contains('.'))?;
        format!("{digits:0<3}")[..3].parse().ok()?
    };
    let offset = match (zone, &places[19 + digits.len()..]) {
        (_, "z") => 0,
        (zone, "+00:00" | "-00:00") => {
            let (hours, minutes) = (zone[1..3].parse::<i64>().ok()?, zone[4..].parse::<i64>().ok()?);
            (hours < 24 && minutes < 60).then_some(())?;
            (hours * 60 + minutes) * if zone.starts_with('-') { -1 } else { 1 }
        }
        _ => return None,
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_leap = |year: i64| year % 4 == 0 && year % 100 != 0 || year % 400 == 0;
    let months = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let within = (1..=12).contains(&month) && day >= 1 && hour < 24 && minute < 60 && second <= 60;
    (within && day <= months[month as usize - 1]).then_some(())?;
    let years = |from: i64, to: i64| (from..to).map(|year| 365 + i64::from(is_leap(year))).sum::<i64>();
    let days =
        years(1970, year) - years(year, 1970) + months[..month as usize - 1].iter().sum::<i64>() + day - 1;
    let seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second;
    Some((seconds * 1_000 + fraction_ms, Oddities::NONE))
}

fn timestamp_ms(bytes: &[u8]) -> Option<(i64, Oddities)> {
    let number = |part: &[u8]| part.iter().fold(0u128, |number, byte| (number << 8) | u128::from(*byte));
    let (seconds, ns) = match bytes.len() {
        4 => (number(bytes) as i128, 0),
        8 => ((number(bytes) % (1 << 34)) as i128, number(bytes) >> 34),
        12 => (i128::from(number(&bytes[4..]) as u64 as i64), number(&bytes[..4])),
        _ => return None,
    };
    let ms = seconds * 1_000 + (ns / 1_000_000) as i128;
    let ms = ms.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    (ns < 1_000_000_000).then_some((ms, Oddities::NONE))
}

/// A number from 0 to `max`, without the sign of a zero. -1 means unknown.
fn within(item: Option<Item<'_>>, max: f32, oddity: Oddity) -> (Option<f32>, Oddities) {
    match item.and_then(Item::single) {
        None | Some(-1.0) => (None, Oddities::NONE),
        Some(number) if (0.0..=max).contains(&number) => (Some(number.abs()), Oddities::NONE),
        Some(_) => (None, Oddities::of(oddity)),
    }
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
    Ext(i8, &'a [u8]),
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
        <(i8, &[u8])>::deserialize(inner).map(|(kind, bytes)| Item::Ext(kind, bytes))
    }
}
