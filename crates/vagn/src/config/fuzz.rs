//! A settings file with any content: it is taken, and the same when it is printed and read again, or refused with a reason.

use std::path::Path;

use vagn_fuzz::{Meter, Target};

use super::Settings;
use super::layers::{parse, settle};

/// Shows all targets of the crate what an input takes.
#[global_allocator]
static METER: Meter = Meter;

const WORDS: &[&str] = &[
    "[udp]\n",
    "[tcp]\n",
    "[http]\n",
    "[map]\n",
    "[ops]\n",
    "[emergency]\n",
    "[history]\n",
    "[cluster]\n",
    "nats",
    "tls://",
    "[clock]\n",
    "[pools]\n",
    "[log]\n",
    "[[emergency.targets]]\n",
    "listen",
    "name",
    "url",
    "secret",
    "tokens",
    "fsync",
    "\"",
    "'''",
    "\"\"\"",
    "\\u0000",
    "=",
    "{",
    "}",
    "[",
    "]",
    ".",
    "\n",
    "true",
    "nan",
    "inf",
    "-1",
    "1e400",
    "0x7fffffffffffffff",
    "1h",
    "0s",
    "99999999999999d",
    "always",
];

fn body(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let path = Path::new("vagn.toml");
    let settings = parse(text, path).and_then(|table| settle(table, &[], Some(path)));
    let settings = match settings {
        Ok(settings) => settings,
        Err(refused) => return assert!(!refused.to_string().is_empty()),
    };
    let printed = toml::to_string(&settings).expect("settings can be printed");
    let again =
        parse(&printed, path).and_then(|table| settle(table, &[], None)).expect("what is printed is read");
    assert_eq!(format!("{again:?}"), format!("{settings:?}"));
}

#[test]
fn any_settings_file_is_taken_or_refused() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "config", words: WORDS, body }.check();
}

#[test]
fn the_corpus_of_settings_is_of_this_format() {
    let defaults = toml::to_string(&Settings::default()).expect("settings can be printed");
    let targets = "max_vehicles = 1\n[emergency]\n[[emergency.targets]]\nname = \"fire\"\nurl = \"https://fire.example/calls\"\n";
    let files = [
        ("defaults", defaults.as_str()),
        ("targets", targets),
        ("some", "fsync = \"always\"\n[udp]\nlisten = \"127.0.0.1:9092\"\n[history]\nkeep = \"1h\"\n"),
        ("unknown_key", "[udp]\nlisen = \"x\"\n"),
    ];
    for (name, text) in files {
        vagn_fuzz::keep(env!("CARGO_MANIFEST_DIR"), "config", name, text.as_bytes());
    }
}
