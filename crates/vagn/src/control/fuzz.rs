//! The line of a request with any content: it is a request, and the same when it is written and read again, or refused with a reason.

use vagn_fuzz::Target;

use super::request::{ControlRequest, ImportedKey};
use super::server::parse;

const WORDS: &[&str] = &[
    "{\"",
    "\":{",
    "}}",
    "\"",
    ":",
    ",",
    "[",
    "]",
    "null",
    "true",
    "device_add",
    "device_list",
    "device_revoke",
    "device_rotate",
    "device_import",
    "token_add",
    "token_list",
    "token_revoke",
    "share_add",
    "share_list",
    "share_revoke",
    "cluster_status",
    "cluster_drain",
    "name",
    "prefix",
    "is_gateway",
    "role",
    "admin",
    "rows",
    "secret",
    "expires_in_ms",
    "number",
    "18446744073709551615",
    "-1",
    "1e400",
    "\\u0000",
];

fn body(bytes: &[u8]) {
    let request = match parse(bytes) {
        Ok(request) => request,
        Err(refused) => return assert!(!refused.message.is_empty()),
    };
    let (word, _) = request.told();
    let written = serde_json::to_string(&request).expect("a request can be written");
    assert!(written.starts_with(&format!("{{\"{word}\"")), "{written}");
    assert_eq!(parse(written.as_bytes()).as_ref(), Ok(&request));
}

#[test]
fn any_line_is_a_request_or_is_refused() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "control", words: WORDS, body }.check();
}

#[test]
fn the_corpus_of_requests_is_of_this_format() {
    use ControlRequest as R;
    let key = ImportedKey {
        vehicle_id: "TAXI1".into(),
        key_id: "0001020304050607".into(),
        secret: "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=".into(),
    };
    let requests = [
        ("gateway", R::DeviceAdd { name: "DEPOT".into(), is_gateway: true, prefix: "BUS-".into() }),
        ("list", R::DeviceList {}),
        ("import", R::DeviceImport { rows: vec![key.clone(), key] }),
        (
            "token",
            R::TokenAdd {
                name: "eva".into(),
                role: vagn_registry::Role::Operate,
                is_person: true,
                is_on_behalf: false,
                expires_in_ms: Some(60_000),
            },
        ),
        ("share", R::ShareAdd { vehicle_id: "TAXI1".into(), expires_in_ms: 60_000 }),
        ("revoke", R::ShareRevoke { number: 17 }),
    ];
    for (name, request) in requests {
        let line = serde_json::to_vec(&request).expect("a request can be written");
        vagn_fuzz::keep(env!("CARGO_MANIFEST_DIR"), "control", name, &line);
    }
}
