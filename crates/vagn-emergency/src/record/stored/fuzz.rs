//! A row of any bytes: it is read again as it is written, and no strange field in it takes away the notice that is owed.

use serde_json::Value;
use vagn_fuzz::Target;

use super::{from_bytes, to_bytes};
use crate::id::IncidentId;

const WORDS: &[&str] = &[
    "\"accepted_ms\":",
    "\"acknowledged\":",
    "\"attempts\":",
    "\"drill\":",
    "\"format\":2",
    "\"opened_ms\":",
    "\"resolved\":",
    "\"state\":\"resolved\"",
    "null",
    "true",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\u0000",
    "-1",
    "1e400",
    "4294967296",
    "9223372036854775808",
];

fn body(bytes: &[u8]) {
    if let Ok(read) = from_bytes(bytes) {
        let again = from_bytes(&to_bytes(&read)).expect("what was written is read");
        assert_eq!(format!("{again:?}"), format!("{read:?}"));
    }
    let Ok(mut row) = serde_json::from_slice::<Value>(bytes) else { return };
    if !names_a_vehicle(&row) {
        return;
    }
    // With all that ends a notice taken out, whatever else the row says.
    for field in ["accepted_ms", "acknowledged", "resolved", "state", "drill"] {
        row.as_object_mut().map(|row| row.remove(field));
    }
    let read = from_bytes(row.to_string().as_bytes()).expect("id, vehicle and time are there");
    assert!(read.is_unaccepted() && read.is_unacknowledged(), "{read:?}");
}

fn names_a_vehicle(row: &Value) -> bool {
    let has_id = row["id"].as_str().is_some_and(|id| id.parse::<IncidentId>().is_ok());
    has_id && row["vehicle_id"].is_string() && row["opened_ms"].is_i64()
}

#[test]
fn any_row_is_read_as_it_was_written_and_keeps_its_notice() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "row", words: WORDS, body }.check();
}
