//! Reports in msgpack: one object after another, as on the TCP door, or an array of them.
//!
//! A body that breaks off or stops being msgpack is treated as the TCP door treats a stream: the reports before count, and
//! the rest is one report, which the decoder judges. It is invalid, but it may still carry the flag of an emergency.

use super::reports::{Reports, TooMany};
use crate::marker::{ARRAY16, ARRAY32, FIXARRAY};
use crate::sealed::begins_element;
use crate::{MAX_OBJECT, object_len};

/// Cuts `body` into reports.
///
/// # Errors
/// When there are too many of them.
pub fn split(body: &[u8]) -> Result<Reports, TooMany> {
    let mut reports = Reports::default();
    let mut rest = &body[list_header(body)..];
    while !rest.is_empty() {
        let end = match object_len(rest) {
            Ok(Some(len)) => len,
            Ok(None) | Err(_) => rest.len(),
        };
        reports.push(&rest[..end.min(MAX_OBJECT)])?;
        rest = &rest[end..];
    }
    Ok(reports)
}

/// Returns the length of the header of a list of reports at the start of `body`, in bytes; 0 when the body starts with a report.
///
/// A report may itself be an array, `[ID, Lat, Lon, Emergency]`. The first element tells: a list holds maps, arrays or
/// envelopes, and no id begins like an envelope.
fn list_header(body: &[u8]) -> usize {
    let len = match body.first() {
        Some(FIXARRAY..=0x9f) => 1,
        Some(&ARRAY16) => 3,
        Some(&ARRAY32) => 5,
        _ => return 0,
    };
    let is_list = body.get(len..).is_some_and(begins_element);
    if is_list { len } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::REPORTS_MAX;
    use crate::{Position, Report, VehicleId, decode, encode};

    fn report(id: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&Report::new(VehicleId::new(id).unwrap(), Position::new(1.5, -2.5).unwrap()), &mut bytes);
        bytes
    }

    /// The ids of the reports in `body`; `?` for one that is refused.
    fn ids(body: &[u8]) -> Vec<String> {
        let reports = split(body).unwrap();
        reports
            .iter()
            .map(|each| decode(each).map_or("?".into(), |it| it.vehicle_id.as_str().to_owned()))
            .collect()
    }

    #[test]
    fn takes_one_many_and_a_list() {
        let (a, b) = (report("a"), report("b"));
        let short = [0x94, 0xa1, b'c', 0x01, 0x02, 0xc2];
        assert_eq!(ids(&a), ["a"]);
        assert_eq!(ids(&[&a[..], &b].concat()), ["a", "b"]);
        assert_eq!(ids(&[&[0x92][..], &a, &b].concat()), ["a", "b"]);
        assert_eq!(ids(&[&[0xdc, 0, 2][..], &a, &b].concat()), ["a", "b"]);
        assert_eq!(ids(&[&[0xdd, 0, 0, 0, 2][..], &a, &b].concat()), ["a", "b"]);
        assert_eq!(ids(&short), ["c"]);
        assert_eq!(ids(&[&[0x92][..], &short, &a].concat()), ["c", "a"]);
        let envelope = [0xc4, 2, 0xc1, 0x10];
        let body = [&[0x93][..], &envelope, &a, &envelope].concat();
        let listed = split(&body).unwrap();
        assert_eq!(listed.iter().collect::<Vec<_>>(), [&envelope[..], &a, &envelope]);
    }

    #[test]
    fn what_breaks_off_or_is_noise_is_one_invalid_report() {
        let a = report("a");
        assert_eq!(ids(&[&a[..], &a[..20]].concat()), ["a", "?"]);
        assert_eq!(ids(&[&a[..], &[0xc1; 9000]].concat()), ["a", "?"]);
        assert_eq!(ids(&[0x91; 9000]), ["?"]);
        assert!(split(b"").unwrap().is_empty());
        for cut in 0..a.len() {
            assert!(split(&a[..cut]).unwrap().len() <= 1);
        }
    }

    #[test]
    fn refuses_more_reports_than_one_request_may_hold() {
        let body = vec![0xc0; REPORTS_MAX];
        assert_eq!(split(&body).unwrap().len(), body.len());
        assert_eq!(split(&[&body[..], &[0xc0]].concat()).unwrap_err(), TooMany);
    }
}
