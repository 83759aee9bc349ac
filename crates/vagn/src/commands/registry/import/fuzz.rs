//! A file of keys with any content: its rows are keys, each once, or it is refused without a word of what may be a secret.

use vagn_fuzz::{Target, keep};

use super::*;

/// Secrets of the corpus, in base64.
const SECRETS: [&str; 2] =
    ["ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=", "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8="];

const WORDS: &[&str] = &[
    "vehicle_id,key_id,secret\n",
    "0001020304050607",
    "000102030405060F",
    ",",
    "\n",
    "\r\n",
    "\"",
    "\"\"",
    " ",
    "\t",
    "\u{feff}",
    SECRETS[0],
    SECRETS[1],
];

fn body(bytes: &[u8]) {
    let keys = match parse(bytes) {
        Ok(keys) => keys,
        Err(why) => {
            // What stands in the place of a vehicle id is named, and nothing else of the file.
            let names_id = ["is no vehicle id", "is there twice"].iter().any(|known| why.contains(known));
            return assert!(names_id || !SECRETS.iter().any(|secret| why.contains(secret)), "{why}");
        }
    };
    let mut again = csv::Writer::from_writer(Vec::new());
    again.write_record(COLUMNS).expect("it is written to memory");
    for ImportedKey { vehicle_id, key_id, secret } in &keys {
        again.write_record([&**vehicle_id, key_id, secret]).expect("it is written to memory");
    }
    let again = again.into_inner().expect("it is written to memory");
    assert!(parse(&*again).is_ok_and(|read| read == keys), "read otherwise than it was written");
}

#[test]
fn any_file_of_keys_is_read_whole_or_refused_without_telling_a_secret() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "import", words: WORDS, body }.check();
}

#[test]
fn the_corpus_of_key_tables_is_of_this_form() {
    let [first, second] = SECRETS;
    let head = COLUMNS.join(",");
    let plain = format!("{head}\nTAXI1,0001020304050607,{first}\nTAXI2,0001020304050608,{second}\n");
    let quoted = format!("{head}\r\n\"a,\"\"b\"\"\", 000102030405060F ,{first}\r\n");
    for (name, text) in [("plain", plain), ("quoted", quoted), ("none", format!("{head}\n"))] {
        keep(env!("CARGO_MANIFEST_DIR"), "import", name, text.as_bytes());
    }
}
