//! What is depended on, by the rules of `deny.toml`: licences, bans, duplicates, wildcards and sources. All of it is on this machine, so it
//! is checked where there is no network, too. `make deny` checks advisories and yanked versions as well, but needs cargo-deny and the
//! network.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::source::workspace;

fn table(file: &str) -> toml::Table {
    fs::read_to_string(workspace().join(file)).unwrap().parse().unwrap()
}

fn texts<'a>(list: &'a toml::Value, key: &str) -> BTreeSet<&'a str> {
    let list = list.as_array().unwrap().iter();
    list.map(|entry| entry.get(key).unwrap_or(entry).as_str().unwrap()).collect()
}

#[test]
fn no_crate_comes_in_two_versions_without_a_reason() {
    let lock = table("Cargo.lock");
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        *versions.entry(package["name"].as_str().unwrap()).or_default() += 1;
    }
    let twice: BTreeSet<&str> =
        versions.into_iter().filter(|(_, count)| *count > 1).map(|(name, _)| name).collect();
    assert_eq!(twice, texts(&table("deny.toml")["bans"]["skip"], "crate"), "deny.toml lists the exceptions");
}

#[test]
fn no_banned_crate_is_depended_on() {
    let rules = table("deny.toml");
    let banned = texts(&rules["bans"]["deny"], "crate");
    let lock = table("Cargo.lock");
    let names = lock["package"].as_array().unwrap().iter().map(|package| package["name"].as_str().unwrap());
    assert_eq!(names.filter(|name| banned.contains(name)).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn every_crate_comes_from_a_source_that_is_allowed() {
    let rules = table("deny.toml");
    let sources = rules["sources"].as_table().unwrap();
    // What is not listed here is not checked here.
    let known = ["unknown-registry", "unknown-git"];
    assert!(sources.iter().all(|(key, value)| known.contains(&&**key) && value.as_str() == Some("deny")));
    let lock = table("Cargo.lock");
    let packages = lock["package"].as_array().unwrap().iter();
    let strange: Vec<_> = packages
        .filter_map(|package| Some((package["name"].as_str()?, package.get("source")?.as_str()?)))
        .filter(|(_, source)| *source != "registry+https://github.com/rust-lang/crates.io-index")
        .collect();
    assert_eq!(strange, []);
}

#[test]
fn no_crate_of_ours_takes_any_version() {
    assert_eq!(table("deny.toml")["bans"]["wildcards"].as_str(), Some("deny"));
    let mut wild = Vec::new();
    for package in packages().iter().filter(|package| package["source"].is_null()) {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        // Our own crates name each other by path.
        let open = dependencies.filter(|each| each["req"] == "*" && each["path"].is_null());
        wild.extend(open.map(|each| format!("{} of {}", each["name"], package["name"])));
    }
    assert_eq!(wild, [""; 0]);
}

#[test]
fn every_licence_is_allowed() {
    let rules = table("deny.toml");
    let allowed = texts(&rules["licenses"]["allow"], "");
    let unwanted: Vec<String> = packages()
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(|licence| is_allowed(licence, &allowed)))
        .map(|package| format!("{} under {}", package["name"], package["license"]))
        .collect();
    assert_eq!(unwanted, [""; 0]);
}

/// Every package that is built for this machine; what is only for others need not have been downloaded.
fn packages() -> Vec<Value> {
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", host])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// An expression as SPDX writes it, with the `/` of older manifests for OR. AND binds more tightly; brackets group an OR.
fn is_allowed(licence: &str, allowed: &BTreeSet<&str>) -> bool {
    if let Some((choice, rest)) = licence.strip_prefix('(').and_then(|rest| rest.split_once(") AND ")) {
        return is_allowed(choice, allowed) && is_allowed(rest, allowed);
    }
    let choices = licence.replace('/', " OR ");
    choices.split(" OR ").any(|all| all.split(" AND ").all(|one| allowed.contains(one.trim())))
}

#[test]
fn a_licence_is_read_as_it_is_meant() {
    let allowed = BTreeSet::from(["MIT", "ISC"]);
    for (licence, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND ISC", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("(MIT OR GPL-3.0) AND GPL-3.0", false),
    ] {
        assert_eq!(is_allowed(licence, &allowed), expected, "{licence}");
    }
}
