//! A key file of any text: every key in it seals for its vehicle, or the file is refused without a word of what may be a secret.

use vagn_fuzz::{Meter, Target, keep};
use vagn_seal::Lane;

use super::tests::line;
use super::*;

#[global_allocator]
static METER: Meter = Meter;

/// Secrets of the corpus, in base64.
const SECRETS: [&str; 2] =
    ["BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg="];

const WORDS: &[&str] = &[
    "{\"",
    "\":",
    "\",\"",
    "}\n{",
    "null",
    "vehicle_id",
    "gateway",
    "prefix",
    "key_id",
    "secret",
    "epoch",
    "15",
    "16",
    "-1",
    "1e400",
    "\\u0000",
    "\\ud800",
    SECRETS[0],
    SECRETS[1],
];

fn body(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let keys = match Keys::parse(Path::new("bus.key"), text) {
        Ok(keys) => keys,
        Err(refused) => {
            let said = refused.to_string();
            // Eight characters of a secret are 48 bits of it.
            let told = SECRETS.iter().any(|secret| secret.as_bytes().windows(8).any(|part| has(&said, part)));
            return assert!(
                said.starts_with("bus.key, line ") && !told || said.starts_with("the key file bus.key"),
                "{said}"
            );
        }
    };
    for name in keys.names(["tram"].into_iter()) {
        let at = keys.of(VehicleId::new(&name).expect("it is a vehicle id")).expect("it has a key");
        let mut envelope = Vec::new();
        keys.get(at).seal(1, b"\x80", Lane::Ordinary, &mut envelope);
        assert!(keys.len() > at && envelope[2..10] == keys.get(at).key_id().0);
    }
}

fn has(said: &str, part: &[u8]) -> bool {
    said.as_bytes().windows(part.len()).any(|window| window == part)
}

#[test]
fn any_key_file_has_keys_that_seal_or_is_refused_without_telling_them() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "key_file", words: WORDS, body }.check();
}

#[test]
fn the_corpus_of_key_files_is_of_this_form() {
    let (bus, tram) = (line("\"vehicle_id\":\"bus 7\"", 7), line("\"vehicle_id\":\"tram\"", 8));
    let depot = line("\"gateway\":\"depot\",\"prefix\":\"BUS-\"", 8);
    assert!(bus.contains(SECRETS[0]) && tram.contains(SECRETS[1]));
    for (name, text) in
        [("one", &bus), ("two", &format!("{bus}\n{tram}")), ("gateway", &depot), ("again", &bus.repeat(2))]
    {
        keep(env!("CARGO_MANIFEST_DIR"), "key_file", name, text.as_bytes());
    }
}
