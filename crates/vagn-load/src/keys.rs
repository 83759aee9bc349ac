//! A key file: the keys of vehicles and gateways, one JSON object a line, as `vagn device add --json` prints them.

#[cfg(test)]
mod fuzz;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;
use vagn_seal::{Epoch, KeyId, NotAKey, Secret, SenderKey};
use vagn_wire::VehicleId;

/// Reason why a key file cannot be used.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read the key file {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// A line is no key. The line itself is not shown, for it may hold a secret.
    #[error("{}, line {line}: {fault}; `vagn device add ID --json` prints such lines", path.display())]
    Line {
        /// Path of the file.
        path: PathBuf,
        /// Number of the line, counted from 1.
        line: usize,
        /// Fault of it.
        fault: String,
    },
    /// It has no key at all.
    #[error("the key file {} has no key in it; `vagn device add ID --json` prints one", .0.display())]
    Empty(PathBuf),
}

/// Keys by the vehicle that is to report.
pub struct Keys {
    keys: Vec<SenderKey>,
    /// Vehicles with a key of their own, in the order of the file.
    vehicles: Vec<(Box<str>, usize)>,
    by_vehicle: HashMap<Box<str>, usize>,
    /// Gateways, those with the longest prefix first.
    gateways: Vec<Gateway>,
}

struct Gateway {
    name: Box<str>,
    prefix: Box<str>,
    at: usize,
}

/// Sender that a key is for.
#[derive(Clone, PartialEq, Eq)]
enum Owner {
    Vehicle(Box<str>),
    Gateway(Box<str>),
}

/// Owner of each key, and the line that named it first.
type Owners = HashMap<KeyId, (Owner, usize)>;

/// A line of the file; what else is in it is not for senders.
#[derive(Deserialize)]
struct Line {
    vehicle_id: Option<Box<str>>,
    gateway: Option<Box<str>>,
    prefix: Option<Box<str>>,
    key_id: String,
    secret: String,
    epoch: u8,
}

impl Keys {
    /// Reads a key file.
    ///
    /// # Errors
    /// When it cannot be read, a line is no key, or there is none.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let text = fs::read_to_string(path).map_err(|err| KeyFileError::Read(path.to_owned(), err))?;
        Self::parse(path, &text)
    }

    /// Reads the text of the key file at `path`.
    fn parse(path: &Path, text: &str) -> Result<Self, KeyFileError> {
        let mut keys = Self { keys: vec![], vehicles: vec![], by_vehicle: HashMap::new(), gateways: vec![] };
        let mut owners = Owners::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let refused = |fault| KeyFileError::Line { path: path.to_owned(), line: number + 1, fault };
            keys.add(number + 1, line, &mut owners).map_err(refused)?;
        }
        if keys.keys.is_empty() {
            return Err(KeyFileError::Empty(path.to_owned()));
        }
        keys.gateways.sort_by_key(|gateway| std::cmp::Reverse(gateway.prefix.len()));
        Ok(keys)
    }

    /// Adds the key of a line. A later line for the same vehicle or gateway counts, as after a rotation.
    fn add(&mut self, number: usize, line: &str, owners: &mut Owners) -> Result<(), String> {
        // The place of a fault, and not what stands there.
        let fault = |err: serde_json::Error| format!("no JSON object of a key, at column {}", err.column());
        let line: Line = serde_json::from_str(line).map_err(fault)?;
        let key_id: KeyId = line.key_id.parse().map_err(|err: NotAKey| err.to_string())?;
        let secret = Secret::from_base64(&line.secret).map_err(|err| err.to_string())?;
        let epoch = Epoch::new(line.epoch).ok_or("an epoch is a number from 0 to 15")?;
        let owner = match (line.vehicle_id, line.gateway) {
            (Some(vehicle_id), None) => Owner::Vehicle(vehicle_id),
            (None, Some(name)) => Owner::Gateway(name),
            _ => return Err("a key has either a vehicle_id or a gateway".to_owned()),
        };
        check_owner(owners, key_id, &owner, number)?;
        let at = self.keys.len();
        match owner {
            Owner::Vehicle(vehicle_id) => {
                VehicleId::new(&vehicle_id).map_err(|_| "its vehicle_id is no vehicle id")?;
                if self.by_vehicle.insert(vehicle_id.clone(), at).is_some() {
                    self.vehicles.retain(|(known, _)| *known != vehicle_id);
                }
                self.vehicles.push((vehicle_id, at));
            }
            Owner::Gateway(name) => {
                self.gateways.retain(|known| known.name != name);
                self.gateways.push(Gateway { name, prefix: line.prefix.unwrap_or_default(), at });
            }
        }
        self.keys.push(SenderKey::new(key_id, epoch, &secret));
        Ok(())
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns a key by its place.
    pub(crate) fn get(&self, at: usize) -> &SenderKey {
        &self.keys[at]
    }

    /// Returns the place of the key that speaks for a vehicle: its own, or that of the gateway with the longest prefix.
    pub fn of(&self, vehicle_id: VehicleId<'_>) -> Option<usize> {
        let id = vehicle_id.as_str();
        let gateway =
            || self.gateways.iter().find(|gateway| id.starts_with(&*gateway.prefix)).map(|found| found.at);
        self.by_vehicle.get(id).copied().or_else(gateway)
    }

    /// Ids for a simulated fleet: the vehicles of the file in its order; with gateways alone, `otherwise` behind the prefix of the
    /// first one, as far as that gives ids.
    pub fn names<'a>(&self, otherwise: impl Iterator<Item = &'a str>) -> Vec<Box<str>> {
        if !self.vehicles.is_empty() {
            return self.vehicles.iter().map(|(vehicle_id, _)| vehicle_id.clone()).collect();
        }
        let prefix = self.gateways.first().map_or("", |gateway| &gateway.prefix);
        let named = otherwise.map(|id| -> Box<str> {
            if id.starts_with(prefix) { id.into() } else { format!("{prefix}{id}").into() }
        });
        named.filter(|id| is_id(id)).collect()
    }
}

/// Sequences are counted for each owner: under one key, two of them would use the same ones, and a sequence that is used twice gives both
/// reports away.
fn check_owner(owners: &mut Owners, key_id: KeyId, owner: &Owner, number: usize) -> Result<(), String> {
    let (known, line) = owners.entry(key_id).or_insert_with(|| (owner.clone(), number));
    if known == owner {
        return Ok(());
    }
    Err(format!(
        "its key {key_id} is that of line {line}, for another; one key for two would use sequences twice"
    ))
}

fn is_id(text: &str) -> bool {
    VehicleId::new(text).is_ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A line of a key file; the number makes key id and secret.
    pub(crate) fn line(whose: &str, number: u8) -> String {
        let (key_id, secret) = (KeyId([number; 8]), Secret([number; 32]).to_base64());
        format!("{{{whose},\"key_id\":\"{key_id}\",\"secret\":\"{secret}\",\"epoch\":0}}\n")
    }

    pub(crate) fn read(text: &str) -> Result<Keys, KeyFileError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Keys::read(file.path())
    }

    fn key_of(keys: &Keys, id: &str) -> Option<u8> {
        keys.of(VehicleId::new(id).unwrap()).map(|at| keys.get(at).key_id().0[0])
    }

    #[test]
    fn finds_the_key_of_a_vehicle_and_else_that_of_its_gateway() {
        let text = [
            line("\"gateway\":\"all\",\"prefix\":\"\"", 1),
            line("\"gateway\":\"depot\",\"prefix\":\"bus-\"", 2),
            "\n".into(),
            line("\"vehicle_id\":\"bus-7\"", 3),
            line("\"vehicle_id\":\"bus-8\"", 4),
            line("\"vehicle_id\":\"bus-7\"", 5),
        ];
        let keys = read(&text.concat()).unwrap();
        let found = ["bus-7", "bus-8", "bus-9", "tram"].map(|id| key_of(&keys, id));
        assert_eq!(found, [Some(5), Some(4), Some(2), Some(1)]);
        assert_eq!(keys.names(std::iter::empty()), ["bus-8".into(), "bus-7".into()]);
    }

    #[test]
    fn names_a_fleet_behind_the_prefix_of_a_gateway() {
        let keys = read(&line("\"gateway\":\"depot\",\"prefix\":\"bus-\"", 1)).unwrap();
        assert_eq!(key_of(&keys, "tram"), None);
        assert_eq!(keys.names(["1", "bus-2"].into_iter()), ["bus-1".into(), "bus-2".into()]);
    }

    #[test]
    fn a_key_is_of_one_vehicle_or_gateway_alone() {
        let check = |lines: &[String], want: &str| {
            let shown = read(&lines.concat()).err().unwrap().to_string();
            assert!(shown.contains(want), "{shown}");
        };
        let (bus, other) = (line("\"vehicle_id\":\"bus-7\"", 1), line("\"vehicle_id\":\"bus-8\"", 1));
        let gateway = |name: &str, key| line(&format!("\"gateway\":\"{name}\",\"prefix\":\"\""), key);
        let own = line("\"vehicle_id\":\"bus-7\"", 2);
        check(
            &[bus.clone(), other.clone()],
            "line 2: its key 0101010101010101 is that of line 1, for another",
        );
        check(&[bus.clone(), own, other], "line 3: its key 0101010101010101 is that of line 1");
        check(&[bus.clone(), gateway("bus-7", 1)], "line 2: its key 0101010101010101 is that of line 1");
        check(&[gateway("a", 1), gateway("b", 1)], "line 2: its key 0101010101010101 is that of line 1");
        // The next epoch of the same key.
        let rotated = bus.replace("\"epoch\":0", "\"epoch\":1");
        assert!(read(&(bus + &rotated)).is_ok());
    }

    #[test]
    fn a_gateway_has_one_key_the_latest_for_its_latest_prefix() {
        let gateway = |prefix, key| line(&format!("\"gateway\":\"depot\",\"prefix\":\"{prefix}\""), key);
        let keys = read(&[gateway("bus-", 1), gateway("bu", 1), gateway("b", 2)].concat()).unwrap();
        assert_eq!(["bus-7", "bike"].map(|id| key_of(&keys, id)), [Some(2), Some(2)]);
    }

    #[test]
    fn names_the_line_that_is_no_key_and_shows_nothing_of_it() {
        let good = line("\"vehicle_id\":\"bus-7\"", 1);
        let secret = Secret([1; 32]).to_base64();
        let check = |text: String, want: &str| {
            let shown = read(&text).err().unwrap().to_string();
            assert!(shown.contains(want) && !shown.contains(&secret), "{shown}");
        };
        check(String::new(), "no key in it");
        check(format!("{good}{{\"secret\":\"{secret}\"}}"), "line 2: no JSON object of a key");
        check(good.replace("\"epoch\":0", "\"epoch\":16"), "line 1: an epoch is a number from 0 to 15");
        check(good.replace("vehicle_id", "vehicle"), "line 1: a key has either a vehicle_id or a gateway");
        check(good.replace("bus-7", ""), "its vehicle_id is no vehicle id");
        check(good.replace("0101", "01"), "a key id has 16 hexadecimal digits");
        check(good.replace(&secret, "AAAA"), "a secret is 32 bytes in base64");
    }
}
