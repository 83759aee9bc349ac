//! `vagn device import`: keys that were made elsewhere, from a CSV file. The whole file is checked before anything is written.

#[cfg(test)]
mod fuzz;

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};
use vagn_registry::Kind;
use vagn_seal::{KeyId, Secret};
use vagn_wire::VehicleId;

use super::RegistryArgs;
use super::way::Way;
use crate::commands::exit::Coded;
use crate::commands::{counted, say, say_as_it_is};
use crate::control::{ControlRequest, ImportedKey, ROWS_MAX};

/// Names of the columns.
const COLUMNS: [&str; 3] = ["vehicle_id", "key_id", "secret"];

/// Flags of `vagn device import`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vagn device import keys.csv --data-dir /var/lib/vagn\n\n\
The first line of the file is `vehicle_id,key_id,secret`. A key id has 16 hexadecimal digits and is random; a secret is 32 random bytes \
in base64. Blanks around an id of a vehicle are a part of it. The file is checked as a whole first. Then it is written in blocks of 50 000 keys, each all or not at all: an import that was \
interrupted is run again, and passes over the keys that are there, also those that were rotated or revoked since.")]
pub(super) struct ImportArgs {
    /// The file.
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Checks the file, and imports it.
///
/// # Errors
/// The file is wrong, or a key in it contradicts the registry.
pub(super) fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let mut keys = read(&args.file)?;
    // In the order of the registry's file: each block then changes a few of its pages, and not all of them.
    keys.sort_unstable_by(|a, b| a.key_id.cmp(&b.key_id));
    let progress = bar(keys.len());
    let mut done = Done::default();
    let mut way = Way::new(&args.registry);
    for block in keys.chunks(ROWS_MAX) {
        let request = ControlRequest::DeviceImport { rows: block.to_vec() };
        let of_block = way.ask(&request, &mut |_| {}).with_context(|| {
            let (imported, all) = (progress.position(), keys.len());
            format!("{imported} of {all} keys are imported; mend the cause and run it again")
        })?;
        done.add(&of_block);
        progress.inc(block.len() as u64);
    }
    progress.finish_and_clear();
    if args.registry.json {
        return say_as_it_is(&format!("{}\n", json!(done)));
    }
    say(&format!(
        "{}Remove {} or keep it where only its user can read it: it has the secrets.\n",
        done.told(),
        args.file.display()
    ))
}

/// Numbers of keys, as the answers to the requests have them.
#[derive(Default, Serialize)]
struct Done {
    added: u64,
    unchanged: u64,
    rotated: u64,
    revoked: u64,
}

impl Done {
    fn add(&mut self, of_block: &Value) {
        let number = |name: &str| of_block[name].as_u64().unwrap_or_default();
        self.added += number("added");
        self.unchanged += number("unchanged");
        self.rotated += number("rotated");
        self.revoked += number("revoked");
    }

    fn told(&self) -> String {
        let Self { added, unchanged, rotated, revoked } = self;
        let added = counted(*added, "key");
        let mut told = format!("{added} imported, {unchanged} were there already.\n");
        if *rotated > 0 {
            told += &format!(
                "{rotated} were imported before and rotated since: the registry keeps their newer secrets, and those in the file are out of date.\n"
            );
        }
        if *revoked > 0 {
            told += &format!(
                "{revoked} were imported before and revoked since: they stay revoked; `vagn device add` makes a key for a vehicle that has none.\n"
            );
        }
        told
    }
}

fn bar(keys: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{pos} of {len} keys {wide_bar} {eta}").expect("the template is right");
    ProgressBar::new(keys as u64).with_style(style)
}

fn read(path: &Path) -> anyhow::Result<Vec<ImportedKey>> {
    let file =
        File::open(path).map_err(|err| Coded::usage(format!("cannot read {}: {err}", path.display())))?;
    parse(file).map_err(|why| Coded::usage(format!("{}: {why}; nothing was imported", path.display())).into())
}

/// Reads and checks all rows.
fn parse(from: impl std::io::Read) -> Result<Vec<ImportedKey>, String> {
    let mut rows = csv::Reader::from_reader(from);
    let head = rows.headers().map_err(|err| err.to_string())?;
    if head.iter().collect::<Vec<_>>() != COLUMNS {
        return Err(format!("the first line must be {}", COLUMNS.join(",")));
    }
    let (mut keys, mut seen) = (Vec::new(), Seen::default());
    for row in rows.records() {
        let row = row.map_err(|err| err.to_string())?;
        let line = row.position().map_or(0, csv::Position::line);
        let key = check(&row)
            .and_then(|key| seen.note(&key).map(|()| key))
            .map_err(|why| format!("line {line}: {why}"))?;
        keys.push(key);
        if keys.len() as u64 > Kind::Device.most() {
            return Err(format!("the registry holds {} keys at most", Kind::Device.most()));
        }
    }
    Ok(keys)
}

fn check(row: &csv::StringRecord) -> Result<ImportedKey, String> {
    let [vehicle_id, key_id, secret] = [0, 1, 2].map(|at| row.get(at).unwrap_or_default());
    // An id is what the vehicle reports, with its blanks; in the other two they mean nothing.
    let (key_id, secret) = (key_id.trim(), secret.trim());
    VehicleId::new(vehicle_id).map_err(|_| format!("{vehicle_id:?} is no vehicle id"))?;
    // Neither is shown: it may be a secret with a slip in it, or one in the wrong column.
    let parsed: KeyId = key_id.parse().map_err(|_| "the key id is not 16 hexadecimal digits")?;
    let parsed_secret = Secret::from_base64(secret).map_err(|_| "the secret is not 32 bytes in base64")?;
    if parsed_secret.0.iter().all(|byte| *byte == parsed_secret.0[0]) {
        return Err("the secret is one byte 32 times, as in a template: anybody can guess it".to_owned());
    }
    Ok(ImportedKey {
        vehicle_id: vehicle_id.into(),
        key_id: parsed.to_string().into(),
        secret: secret.into(),
    })
}

/// Vehicles and key ids of the rows so far.
#[derive(Default)]
struct Seen {
    vehicles: HashSet<Box<str>>,
    keys: HashSet<Box<str>>,
}

impl Seen {
    fn note(&mut self, key: &ImportedKey) -> Result<(), String> {
        if !self.vehicles.insert(key.vehicle_id.clone()) {
            return Err(format!("the vehicle {} is there twice", key.vehicle_id));
        }
        if !self.keys.insert(key.key_id.clone()) {
            return Err(format!("the key id {} is there twice", key.key_id));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

    fn refused(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn reads_keys_in_any_case_and_with_spaces() {
        let text = format!(
            "vehicle_id,key_id,secret\nTAXI1, 00010203040506FF ,{SECRET}\n\"a,b\",0001020304050608,{SECRET}\n"
        );
        let keys = parse(text.as_bytes()).unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!((&*keys[0].key_id, &*keys[1].vehicle_id), ("00010203040506ff", "a,b"));
    }

    #[test]
    fn a_vehicle_id_is_kept_as_it_is() {
        let text = format!(
            "vehicle_id,key_id,secret\n sp ,0001020304050607, {SECRET}\nsp,0001020304050608,{SECRET}\n"
        );
        let keys = parse(text.as_bytes()).unwrap();
        assert_eq!((&*keys[0].vehicle_id, &*keys[0].secret, &*keys[1].vehicle_id), (" sp ", SECRET, "sp"));
    }

    #[test]
    fn says_what_was_rotated_and_revoked_since() {
        let mut done = Done::default();
        done.add(&json!({"added": 2, "unchanged": 1}));
        assert_eq!(done.told(), "2 keys imported, 1 were there already.\n");
        done.add(&json!({"added": 1, "unchanged": 0, "rotated": 4, "revoked": 5}));
        let told = done.told();
        let lines: Vec<_> = told.lines().collect();
        assert_eq!((lines.len(), lines[0]), (3, "3 keys imported, 1 were there already."));
        assert!(lines[1].starts_with("4 were imported before and rotated since"), "{told}");
        assert!(
            lines[2].starts_with("5 were imported before and revoked since: they stay revoked"),
            "{told}"
        );
    }

    #[test]
    fn names_the_line_and_shows_no_secret() {
        let row =
            |row: &str| refused(&format!("vehicle_id,key_id,secret\nA,0001020304050607,{SECRET}\n{row}\n"));
        assert!(row(&format!(",0001020304050608,{SECRET}")).contains("line 3: \"\" is no vehicle id"));
        let swapped = row(&format!("B,{SECRET},0001020304050608"));
        assert!(swapped.contains("line 3: the key id is not 16 hexadecimal digits"), "{swapped}");
        assert!(!swapped.contains(SECRET), "{swapped}");
        assert!(
            row(&format!("A,0001020304050608,{SECRET}")).contains("line 3: the vehicle A is there twice")
        );
        assert!(
            row(&format!("B,0001020304050607,{SECRET}"))
                .contains("the key id 0001020304050607 is there twice")
        );
        let said = row("B,0001020304050608,aHVzaA==");
        assert!(said.contains("line 3: the secret is not 32 bytes") && !said.contains("aHVzaA"), "{said}");
        for byte in [0, 0xff] {
            let template = Secret([byte; 32]).to_base64();
            let said = row(&format!("B,0001020304050608,{template}"));
            assert!(
                said.contains("line 3: the secret is one byte 32 times") && !said.contains(&template),
                "{said}"
            );
        }
        assert!(refused("vehicle,key,secret\n").contains("vehicle_id,key_id,secret"));
        assert!(refused("").contains("vehicle_id,key_id,secret"));
    }
}
