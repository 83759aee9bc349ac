//! Properties that must hold for any bytes. Checked by the fuzz targets beside this file, and on stable Rust by the crate's
//! tests: over the corpus, over mutations of it, and over the million inputs of the agreement test.

use vagn_wire::dialect::{REPORTS_MAX, Reports, json};
use vagn_wire::sealed::Contents;
use vagn_wire::{MAX_DATAGRAM, MAX_OBJECT, Oddities, Reject, Report, StoredAck, VehicleId, ack};

/// The two decoders agree, the filter agrees with them, and a decoded report is the same when sent again.
pub(crate) fn decode(bytes: &[u8]) {
    let decoded = vagn_wire::decode(bytes);
    assert_eq!(decoded, vagn_wire::decode_general(bytes), "fast path and general decoder");
    let is_alarm = decoded.is_ok_and(|report| report.emergency);
    assert_eq!(vagn_wire::is_emergency(bytes), is_alarm, "filter and decoder");
    if let Ok(report) = decoded {
        assert!(report.emergency || report.position.is_ok(), "an error beside the flag only");
        roundtrip(report);
        stored_ack(&report, bytes.len());
    }
}

/// A datagram is cut into what reading it report by report gives, and nothing of it is left out.
pub(crate) fn datagram(bytes: &[u8]) {
    let datagram = &bytes[..bytes.len().min(MAX_DATAGRAM)];
    let mut rest = datagram;
    for piece in vagn_wire::pieces(datagram) {
        let report = vagn_wire::decode(rest);
        assert_eq!(vagn_wire::decode(piece.bytes), report, "the piece and what lies there");
        assert_eq!(piece.is_alarm, report.is_ok_and(|report| report.emergency));
        assert!(rest.starts_with(piece.bytes));
        let end = vagn_wire::object_len(rest).ok().flatten();
        let next = end.filter(|end| report.is_ok() && begins_report(&rest[*end..]));
        assert_eq!(piece.bytes.len(), next.unwrap_or(rest.len()));
        rest = &rest[piece.bytes.len()..];
    }
    assert!(rest.is_empty(), "{} bytes left", rest.len());
    if let Some(sole) = vagn_wire::sole_piece(datagram) {
        assert!(vagn_wire::pieces(datagram).eq([sole]));
    }
}

/// The content of an envelope gives the reports of a datagram with the same bytes; one that left out its id is that of its key.
pub(crate) fn contents(bytes: &[u8]) {
    let content = &bytes[..bytes.len().min(MAX_DATAGRAM)];
    let pieces: Vec<_> = vagn_wire::pieces(content).map(|piece| shown(piece.bytes)).collect();
    let taken = |stands_for| {
        let mut contents = Contents::new(content, stands_for);
        let mut reports = Vec::new();
        let mut out = Vec::new();
        while let Some(taken) = contents.take(&mut out) {
            reports.push((std::mem::take(&mut out), taken.was_completed));
        }
        reports
    };
    assert!(taken(None).iter().map(|(report, _)| shown(report)).eq(pieces));
    let bus = VehicleId::new("bus 7").ok();
    let completed = taken(bus);
    assert!(!completed.is_empty());
    for (report, _) in completed.iter().filter(|(_, was_completed)| *was_completed) {
        assert!(
            vagn_wire::decode(report).is_ok_and(|report| Some(report.vehicle_id) == bus)
                || shown(report).starts_with("Err")
        );
    }
}

fn shown(report: &[u8]) -> String {
    format!("{:?}", vagn_wire::decode(report))
}

/// A map, or an array of four.
fn begins_report(bytes: &[u8]) -> bool {
    let map = bytes.first().is_some_and(|first| matches!(first, 0x80..=0x8f | 0xde | 0xdf));
    map || [&b"\x94"[..], b"\xdc\0\x04", b"\xdd\0\0\0\x04"].iter().any(|head| bytes.starts_with(head))
}

/// Any body is read or refused. Where it is JSON by the book, the careful reader finds the same reports.
pub(crate) fn json(body: &[u8]) {
    let readings = [json::split, json::split_lines, json::split_carefully].map(|split| split(body));
    for reports in readings.iter().flatten() {
        assert!(reports.len() <= REPORTS_MAX);
        for report in reports.iter() {
            assert!(report.len() <= MAX_DATAGRAM, "{} bytes", report.len());
            decode(report);
        }
    }
    let [by_the_book, _, carefully] = readings;
    if let (Ok(one), Ok(other)) = (by_the_book, carefully) {
        let decoded = |reports: &Reports| {
            reports.iter().map(|it| format!("{:?}", vagn_wire::decode(it))).collect::<Vec<_>>()
        };
        assert_eq!(decoded(&one), decoded(&other), "by the book and carefully");
    }
}

/// The answer to an alarm is never longer than the alarm in any encoding, and reads back.
fn stored_ack(report: &Report<'_>, alarm_len: usize) {
    let Some(bare) = StoredAck::asked_by(report) else { return };
    let told = StoredAck { incident: Some("019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071"), ..bare };
    let mut bytes = Vec::new();
    told.encode(alarm_len, &mut bytes);
    assert!(bytes.len() <= alarm_len, "{} bytes for {alarm_len}", bytes.len());
    let read = StoredAck::decode(&bytes);
    assert!(read == Ok(told) || read == Ok(bare), "{read:?}");
}

fn roundtrip(report: Report<'_>) {
    let mut bytes = Vec::new();
    vagn_wire::encode(&report, &mut bytes);
    // What was wrong with a position is not sent; that there is none, is. Nothing that is sent on is odd.
    let position = report.position.map_err(|_| Reject::NoLatitude);
    let again = Report { position, odd: Oddities::NONE, ..report };
    assert_eq!(vagn_wire::decode(&bytes), Ok(again), "decoded, encoded, decoded");
    assert_eq!(vagn_wire::object_len(&bytes), Ok(Some(bytes.len())), "an encoded report is one object");
}

/// However a stream is cut, the first object has one length, found as soon as it is whole and never before.
pub(crate) fn object_len(stream: &[u8]) {
    let whole = vagn_wire::object_len(stream);
    if let Ok(Some(len)) = whole {
        assert!((1..=stream.len().min(MAX_OBJECT)).contains(&len), "{len} bytes");
    }
    for cut in 0..stream.len() {
        let part = vagn_wire::object_len(&stream[..cut]);
        match whole {
            Ok(Some(len)) if cut < len => assert_eq!(part, Ok(None), "cut at {cut}"),
            Ok(Some(_)) => assert_eq!(part, whole, "cut at {cut}"),
            Ok(None) => assert_eq!(part, Ok(None), "cut at {cut}"),
            Err(reject) => assert!(part == Ok(None) || part == Err(reject), "cut at {cut}: {part:?}"),
        }
    }
}

/// An answer that can be read is the same when written and read again.
pub(crate) fn ack(stream: &[u8]) {
    stored(stream);
    let Ok(Some((answer, len))) = ack::decode(stream) else { return };
    assert_eq!(vagn_wire::object_len(stream), Ok(Some(len)));
    let mut bytes = Vec::new();
    ack::encode(&answer, &mut bytes);
    assert_eq!(ack::decode(&bytes), Ok(Some((answer, bytes.len()))));
}

/// The same over UDP.
fn stored(datagram: &[u8]) {
    let Ok(answer) = StoredAck::decode(datagram) else { return };
    let mut bytes = Vec::new();
    answer.encode(usize::MAX, &mut bytes);
    assert_eq!(StoredAck::decode(&bytes), Ok(answer));
    assert!(bytes.len() <= datagram.len(), "not the shortest form");
}
