//! Bodies in JSON, by the book and otherwise.

use super::*;
use crate::dialect::REPORTS_MAX;
use crate::{Kind, MAX_DATAGRAM, Oddity, Reject, Report, decode};

/// Checks the id of each report of `body`, or the reason why the decoder refuses it.
fn check(body: &str, ids: &[Result<&str, Reject>]) {
    for split in [split, split_carefully] {
        assert_eq!(self::ids(&split(body.as_bytes()).unwrap()), ids, "{body}");
    }
}

fn ids(reports: &Reports) -> Vec<Result<&str, Reject>> {
    reports.iter().map(|each| decode(each).map(|it| it.vehicle_id.as_str())).collect()
}

/// Reads the first report of `body` and gives what is asked of it.
fn first<T>(body: &str, ask: impl Fn(Report<'_>) -> T) -> T {
    let reports = split(body.as_bytes()).unwrap();
    ask(decode(reports.iter().next().unwrap()).unwrap())
}

fn check_refused(body: &str, why: &str) {
    let bad = split(body.as_bytes()).unwrap_err();
    assert!(bad.to_string().contains(why), "{body}: {bad:?}");
}

#[test]
fn takes_one_many_a_list_and_lines() {
    let (a, b) = (r#"{"ID":"a","Lat":1,"Lon":2}"#, r#"{"Lon":-2.5,"ID":"b","Lat":1e1,"Emergency":false}"#);
    check(a, &[Ok("a")]);
    check(&format!(" {a}\n{b}\n\n"), &[Ok("a"), Ok("b")]);
    check(&format!("{a}{b}"), &[Ok("a"), Ok("b")]);
    check(&format!("[{a},{b}]"), &[Ok("a"), Ok("b")]);
    assert!(split(b"[]").unwrap().is_empty());
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
    let digits = "9".repeat(400);
    for word in [
        "NaN",
        "nan",
        "-nan",
        "+nan",
        "nan(ind)",
        "-1.#IND",
        "Infinity",
        "-Infinity",
        "inf",
        "-inf",
        "+5",
        ".5",
        "-.5",
        "5.",
        "0x10",
        "010",
        "-",
        "1e",
        "1.e5",
        "1_000",
        "1'000",
        "None",
        "undefined",
        "'1'",
        "\u{2212}5",
        "1e999",
        "-1e999",
        "1.8E+308",
        "1e99999999999999999999",
        &digits,
    ] {
        let body = format!(
            r#"[{{"ID":"1e999 \" NaN","Lat":1e1,"Lon":-2}},{{"ID":"a","Lat":{word},"Lon":2}},{{"ID":"b","Lat":1,"Lon":2}}]"#
        );
        check(&body, &[Ok("1e999 \" NaN"), Err(Reject::BadType), Ok("b")]);
        let body = format!(r#"{{"ID":"a","Lat":1,"Lon":{word},"Emergency":true,"Seq":{word},"x":{word}}}"#);
        let report = first(&body, |report| (report.emergency, report.position, report.seq));
        assert_eq!(report, (true, Err(Reject::BadType), None), "{body}");
        // In a field that may be left out it costs the report nothing.
        let body = format!(r#"{{"ID":"a","Lat":1,"Lon":2,"Speed":{word},"Heading":{word},"Ts":{word}}}"#);
        let report = first(&body, |report| (report.speed_mps, report.heading_deg, report.event_time_ms));
        assert_eq!(report, (None, None, None), "{body}");
        assert!(first(&body, |report| report.odd.has(Oddity::TimeUnreadable)));
    }
}

#[test]
fn a_flag_is_set_in_any_usual_form() {
    for form in [
        "true", "1", "1.0", "-1", "\"true\"", "\"YES\"", "\"1\"", "True", "TRUE", "yes", "on", "+1", ".5",
        "1e999",
    ] {
        let body = format!(r#"{{"ID":"a","Lat":1,"Lon":2,"Emergency":{form}}}"#);
        assert!(first(&body, |report| report.emergency && report.position.is_ok()), "{form}");
    }
    for form in
        ["false", "0", "-0", "0.0", "null", "\"false\"", "\"\"", "False", "nan", "[true]", "{}", "help"]
    {
        let body = format!(r#"{{"ID":"a","Lat":1,"Lon":2,"Emergency":{form}}}"#);
        assert!(first(&body, |report| !report.emergency && report.position.is_ok()), "{form}");
    }
}

#[test]
fn a_text_that_cannot_be_read_is_a_fault_of_its_own_field_only() {
    for text in ["\\ud800", "\\udc00", "\\ud800\\ud800", "\\u12", "\\x41", "\u{1}"] {
        let bad = format!(r#"{{"ID":"{text}","Lat":1,"Lon":2}}"#);
        let (ok, help) =
            (r#"{"ID":"ok","Lat":1,"Lon":2}"#, format!(r#"{{"ID":"b","Emergency":true,"Inc":"{text}"}}"#));
        check(&format!("[{bad},{ok},{help}]"), &[Err(Reject::BadId), Ok("ok"), Ok("b")]);
        let unknown =
            format!(r#"{{"ID":"c","{text}":"{text}","Note":["{text}"],"Kind":"{text}","Lat":1,"Lon":2}}"#);
        check(&unknown, &[Ok("c")]);
    }
    let latin = b"{\"ID\":\"\xe5ngb\xe5t\",\"Lat\":1,\"Lon\":2}\n{\"ID\":\"ok\",\"Lat\":1,\"Lon\":2,\"Note\":\"\xe5\"}";
    for split in [split, split_lines, split_carefully] {
        assert_eq!(ids(&split(latin).unwrap()), [Err(Reject::BadId), Ok("ok")]);
    }
    check(
        r#"{"ID":"\u0062\u00e5t \ud83d\ude8c","Lat":nan,"Lon":2,"Emergency":true}"#,
        &[Ok("b\u{e5}t \u{1f68c}")],
    );
}

#[test]
fn what_is_no_object_is_one_invalid_report() {
    let (a, none) = (r#"{"ID":"a","Lat":1,"Lon":2}"#, Err(Reject::NotAReport));
    for bad in
        ["7", "null", "nan", "\"text, text\"", "two words", "[]", "[[1],[[2]]]", "[\"a\",1,2,true]", "'x'"]
    {
        check(&format!("[{a},{bad},{a}]"), &[Ok("a"), none, Ok("a")]);
        check(&format!("[{bad},{a}]"), &[none, Ok("a")]);
        check(&format!("[{a},{bad}]"), &[Ok("a"), none]);
        check(&format!("[{a},{bad}"), &[Ok("a"), none]);
    }
    check(&format!("[{a},,{a},]"), &[Ok("a"), none, Ok("a")]);
    check(&format!("{a}, {a}"), &[Ok("a"), Ok("a")]);
    check(&format!("[{a}{a}][{a}]]"), &[Ok("a"), Ok("a"), Ok("a")]);
    check(&format!("callback({a})"), &[none, Ok("a"), none]);
    // A list that does not end, behind a text that ends like the beginning of an object.
    check(r#"[{"ID":"{","Lat":1,"Lon":2},[1},{"ID":"a","Lat":1,"Lon":2}]"#, &[Ok("{"), none, Ok("a")]);
}

#[test]
fn an_object_that_breaks_costs_no_other() {
    let help = r#"{"ID":"help","Emergency":true}"#;
    for bad in [
        r#"{"ID":"a","Lat":1,,"Lon":2}"#,
        r#"{"ID":"a","Lat":1 "Lon":2}"#,
        r#"{"ID":"a","Lat" 1}"#,
        r#"{"ID":"a","Lat":1,}"#,
        r#"{"ID":"a",Lat:1}"#,
        r#"{'ID':'a'}"#,
        r#"{"ID":"a","Lat":}"#,
        r#"{"ID":"a","x":[1,{"y":2}],"Lat"}"#,
        r#"{"ID":"a","x":[1}"#,
        r#"{"ID":"a","Lat":1"#,
        r#"{"ID":"a,"Lat":1}"#,
        r#"{"ID":"a}"#,
        r#"{"ID":a","Lat":1}"#,
        r#"{"ID":"a","Lat":1]"#,
    ] {
        for body in [
            format!("[{help},{bad},{help}]"),
            format!("{help}\n{bad}\n{help}\n"),
            format!("{help} {bad} {help}"),
        ] {
            let reports = split(body.as_bytes()).unwrap();
            let got = ids(&reports);
            let calls = got.iter().filter(|id| **id == Ok("help")).count();
            assert!((calls, got.len()) == (2, 3) && got[1].is_err(), "{body}: {got:?}");
        }
        let lines = format!("{help}\n{bad}\n\n \n{help}\n");
        let reports = split_lines(lines.as_bytes()).unwrap();
        let got = ids(&reports);
        assert!(got.len() == 3 && got[1].is_err() && got[2] == Ok("help"), "{bad}: {got:?}");
    }
}

#[test]
fn a_flag_behind_a_fault_is_a_call_for_help() {
    for bad in [
        r#""Lat":30,27,"Lon":-97,74,"#,
        r#""Lat":,"Lon":,"#,
        r#""Lat":1,"Lon":1,,"#,
        r#""Lat":1;"Lon":1,"#,
        r#""Lat":1 "Lon":1;"#,
        r#""Lat" 1,"Inc","Lon"::"x","#,
        r#""Kind":"auto",Lat:1,'Lon':2,"#,
        "\"Inc\":\"a\tb\",",
        "\"Note\":\"a\nb\n\\\"c\",",
        r#""Note":"he said "hi" to me","#,
        r#""x":{"Emergency":false},;"x":[1,["y"]],"#,
    ] {
        let object = format!(r#"{{{bad}"ID":"a",{bad}"Emergency":true}}"#);
        let quiet = r#"{"ID":"q","Lat":1,"Lon":2}"#;
        for body in
            [object.clone(), format!("[{quiet},{object},{quiet}]"), format!("[{{\"x\":[}},{object},{quiet}]")]
        {
            let reports = split(body.as_bytes()).unwrap();
            let calls = reports.iter().filter(|each| decode(each).is_ok_and(|it| it.emergency)).count();
            let got = ids(&reports);
            assert!(calls == 1 && got.contains(&Ok("a")), "{body}: {got:?}");
            assert_eq!(got.len(), if body == object { 1 } else { 3 }, "{body}: {got:?}");
        }
    }
}

#[test]
fn a_flag_of_something_else_is_not_taken() {
    for bad in [
        r#"{"ID":"a",,"Note":"x, \"Emergency\":true"}"#,
        r#"{"ID":"a",,"Note":{"Emergency":true}}"#,
        r#"{"ID":"a",,"Note":[{"Emergency":true}]}"#,
        r#"{"ID":"a",,[{"Emergency":true}]}"#,
        r#"{"ID":"a","Note":"Emergency":true}"#,
        r#"{"ID":"a","Note"::"Emergency":true}"#,
        r#"{"ID":"a","Note":"say "Emergency":true now"}"#,
        r#"{"ID":"a","Lat":1,{"ID":"b","Emergency":true}"#,
        r#"{"ID":"a","Lat":1],{"ID":"b","Emergency":true}"#,
        "{\"ID\":\"a\n{\"ID\":\"b\",\"Emergency\":true}",
        r#"{"ID":"a","x":[1,"Emergency":true}"#,
    ] {
        for split in [split, split_carefully] {
            assert!(!ids(&split(bad.as_bytes()).unwrap()).contains(&Ok("a")), "{bad}");
        }
    }
}

#[test]
fn a_list_in_a_list_loses_no_call() {
    let (a, help) = (r#"{"ID":"a","Lat":1,"Lon":2}"#, r#"{"ID":"help","Emergency":true}"#);
    let none = Err(Reject::NotAReport);
    check(&format!("[[{help}]]"), &[Ok("help")]);
    check(&format!("[[[{a},{help}]],{a}]"), &[Ok("a"), Ok("help"), Ok("a")]);
    check(&format!("[{a},[1,2,{help},3],[],{a}]"), &[Ok("a"), none, Ok("help"), none, Ok("a")]);
    check_refused("[[]]", "a position object");
}

#[test]
fn a_list_that_breaks_in_the_place_of_an_object_is_read_on_behind_its_fault() {
    // Behind an earlier fault: from there the same objects were read again and again, until they were too many.
    let body = r#"[{"ID":x"},1[{"a"},{"ID":"b","Emergency":true},1[{"k"#;
    let reports = split(body.as_bytes()).unwrap();
    assert!(reports.len() < 8, "{} reports", reports.len());
    assert!(reports.iter().any(crate::is_emergency), "{:?}", ids(&reports));
}

#[test]
fn a_body_that_breaks_off_keeps_what_came_before() {
    let body =
        r#"[{"ID":"a","Lat":1,"Lon":2},{"ID":"help","Emergency":true,"Lat":1,"x":[{"y":"z"}],"Lon":2}]"#;
    let (first_ends, heard) = (body.find("},").unwrap() + 1, body.find("true").unwrap() + 4);
    for cut in 0..body.len() {
        for split in [split, split_lines, split_carefully] {
            let Ok(reports) = split(&body.as_bytes()[..cut]) else {
                assert!(cut < 2, "{cut}");
                continue;
            };
            let got = ids(&reports);
            assert_eq!(got.first().map(Result::is_ok), Some(cut >= first_ends), "{cut}");
            assert_eq!(got.len(), if cut > first_ends + 1 { 2 } else { 1 }, "{cut}: {got:?}");
            assert_eq!(got.get(1) == Some(&Ok("help")), cut >= heard, "{cut}");
        }
    }
}

#[test]
fn a_line_harms_no_other() {
    let body = "\u{feff}{\"ID\":\"a\",\"Lat\":1,\"Lon\":2}\r\n\r\nhello, world\n{\"ID\":\"b\n{\"ID\":\"c\",\"Emergency\":true}\n7";
    let reports = split_lines(body.as_bytes()).unwrap();
    let got = ids(&reports);
    let none = Err(Reject::NotAReport);
    assert_eq!(got, [Ok("a"), none, Err(Reject::Truncated), Ok("c"), none], "{got:?}");
}

#[test]
fn a_line_has_a_report_for_each_object_and_one_at_least() {
    let a = r#"{"ID":"a","Lat":1,"Lon":2}"#;
    let (ok, none) = (Ok("a"), Err(Reject::NotAReport));
    for (line, want) in [
        ("[]", &[none][..]),
        (" [ ]\r", &[none]),
        ("]", &[none]),
        ("[[],[]]", &[none]),
        ("\u{b}", &[none]),
        ("1, 2, 3", &[none]),
        ("", &[]),
        (" \t\r", &[]),
        (&format!("{a}}}"), &[ok]),
        (&format!("{a}\u{b}"), &[ok]),
        (&format!("1,{a},,"), &[ok]),
        (&format!("{a}{a}"), &[ok, ok]),
        (&format!("[{a},{a}]"), &[ok, ok]),
        (&format!("{a}}}{a}"), &[ok, ok]),
    ] {
        let reports = split_lines(format!("{a}\n{line}\n{a}").as_bytes()).unwrap();
        assert_eq!(ids(&reports), [&[ok][..], want, &[ok]].concat(), "{line:?}");
    }
}

#[test]
fn a_mark_of_the_order_of_bytes_is_skipped() {
    check("\u{feff}{\"ID\":\"a\",\"Lat\":1,\"Lon\":2}", &[Ok("a")]);
    check("\u{feff}[{\"ID\":\"a\",\"Lat\":nan,\"Lon\":2}]", &[Err(Reject::BadType)]);
}

#[test]
fn refuses_the_whole_body_when_not_even_one_object_begins() {
    check_refused("", "EOF");
    check_refused("\u{feff}", "EOF");
    check_refused("7", "a position object or an array of them");
    check_refused("[7,null]", "a position object");
    check_refused("GET / HTTP/1.1", "line 1 column 1");
    check_refused("\"{}\"", "a position object");
    check_refused(&"[".repeat(9_000), "a position object");
}

#[test]
fn no_nesting_is_too_deep() {
    for depth in [100, 200, 1_000_000] {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        check(&format!(r#"[{{"ID":"a","x":{open}{close},"Lat":1,"Lon":2}}]"#), &[Ok("a")]);
        check(&format!(r#"{{"ID":"a","Emergency":true,"x":{open}"#), &[Ok("a")]);
    }
}

#[test]
fn work_is_bounded_whatever_the_faults() {
    for part in [
        "{\"",
        "{\"k\":[",
        "[{\"k\":",
        "{\"k\":{",
        "\"",
        "\\\"{\"",
        "{\"a\":\"",
        "{\"x\":[}",
        "{",
        "[{\"",
        ",{\"k\"\n",
        "\"\n\\\"\n",
        "{\"k\":\"\n",
        "{\"k\",,",
        "{\"k\",\"",
        "{\"k\":1,2,[",
        "{x}",
        "{x",
        "[",
        "x[{\"k\":1}",
        "x[{\"k\"",
        "1[}",
    ] {
        for split in [split, split_lines, split_carefully] {
            // Half a megabyte, which would take minutes if each fault were read to the end of the body.
            for before in ["{\"", "[{\"x\":[},"] {
                drop(split(format!("{before}{}", part.repeat(500_000 / part.len())).as_bytes()));
            }
        }
    }
}

#[test]
fn a_report_never_outgrows_a_datagram() {
    let entry = format!(r#""Inc":"{}","#, "x".repeat(500));
    let body = format!(r#"{{{}"ID":"a"}}"#, entry.repeat(70_000 / 500));
    let flag = format!(r#"{{"ID":"a","Emergency":{}}}"#, "tr".repeat(35_000));
    for body in [body, flag] {
        let reports = split(body.as_bytes()).unwrap();
        assert!(reports.bytes.len() <= MAX_DATAGRAM, "{} bytes", reports.bytes.len());
    }
}

#[test]
fn refuses_more_reports_than_one_request_may_hold() {
    let bad = split("{}".repeat(REPORTS_MAX + 1).as_bytes()).unwrap_err();
    assert_eq!(bad, BadBody::TooMany(TooMany));
}
