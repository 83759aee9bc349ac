//! `vagn device`: keys of vehicles and gateways.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::import::{self, ImportArgs};
use super::table::{self, Column, minute};
use super::{RegistryArgs, text};
use crate::control::ControlRequest;

/// Flags of `vagn device`.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  (umask 077; set -C; vagn device add TAXI1 --data-dir /var/lib/vagn --json > TAXI1.key)\n  vagn device list\n  \
vagn device import keys.csv\n\n\
With its key a device seals its reports, so that no other can speak for its vehicle or read where it is. A running service has each \
change in force at once. A secret is shown once, when it is made: with `set -C` the shell writes over no key file that is there.\n\n\
Exit codes: 0 done; 1 refused, or the registry cannot be used; 64 wrong usage; 69 the service or the \
data directory was busy for 10 s, or the service cannot be asked."
)]
pub(in crate::commands) struct DeviceArgs {
    #[command(subcommand)]
    command: DeviceCommand,
}

#[derive(Debug, Subcommand)]
enum DeviceCommand {
    /// Make a key for a vehicle, or for a gateway that speaks for many.
    Add(AddArgs),
    /// List the keys, the revoked ones too.
    List(ListArgs),
    /// Revoke a key: what it seals is refused from now on.
    Revoke(NameArgs),
    /// Import keys that were made elsewhere.
    Import(ImportArgs),
    /// Make a new secret under the next epoch; the old one is open until the first datagram of the new one.
    Rotate(NameArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vagn device add TAXI1\n  vagn device add DEPOT --gateway --prefix BUS-\n\n\
Prints the key id and the secret, as JSON with --json: keep it as a file that only its user can read."
)]
struct AddArgs {
    /// Id of the vehicle, or name of the gateway.
    #[arg(value_name = "ID")]
    name: Box<str>,
    /// It is a gateway: it sends `ID` and `Ts` in each report, and speaks for no vehicle that has a key of its own.
    #[arg(long)]
    gateway: bool,
    /// Beginning of the ids that the gateway may speak for [default: all].
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, requires = "gateway")]
    prefix: Box<str>,
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Debug, Args)]
struct NameArgs {
    /// Id of the vehicle, or name of the gateway.
    #[arg(value_name = "ID")]
    name: Box<str>,
    #[command(flatten)]
    registry: RegistryArgs,
}

const COLUMNS: [Column; 5] = [
    ("ID", 24, |device| name(device).to_owned()),
    ("KEY", 16, |device| text(device, "key_id").to_owned()),
    ("EPOCHS", 7, epochs),
    ("ADDED", 16, |device| minute(device, "added_at")),
    ("STATE", 0, state),
];

/// Changes or lists the keys.
///
/// # Errors
/// When it is refused, or the registry cannot be used.
pub(in crate::commands) fn run(args: DeviceArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        DeviceCommand::Add(AddArgs { name, gateway, prefix, registry }) => {
            registry.answer(&ControlRequest::DeviceAdd { name, is_gateway: gateway, prefix }, added)?;
        }
        DeviceCommand::List(ListArgs { registry }) => {
            let none = "no device has a key; make one with `vagn device add ID`\n";
            table::print(&registry, &ControlRequest::DeviceList {}, &COLUMNS, none)?;
        }
        DeviceCommand::Revoke(NameArgs { name, registry }) => {
            registry.answer(&ControlRequest::DeviceRevoke { name }, revoked)?;
        }
        DeviceCommand::Rotate(NameArgs { name, registry }) => {
            registry.answer(&ControlRequest::DeviceRotate { name }, rotated)?;
        }
        DeviceCommand::Import(args) => import::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn name(device: &Value) -> &str {
    device["vehicle_id"].as_str().unwrap_or_else(|| text(device, "gateway"))
}

fn epochs(device: &Value) -> String {
    let epochs = device["epochs"].as_array().into_iter().flatten();
    epochs.map(Value::to_string).collect::<Vec<_>>().join(", ")
}

fn state(device: &Value) -> String {
    let kind = match (device["gateway"].as_str(), text(device, "prefix")) {
        (None, _) => String::new(),
        (Some(_), "") => ", gateway for all ids".into(),
        (Some(_), prefix) => format!(", gateway for {prefix}…"),
    };
    match device["revoked_at"].as_str() {
        Some(_) => format!("revoked {}{kind}", minute(device, "revoked_at")),
        None => format!("in force{kind}{}", ahead(device)),
    }
}

/// Names a sequence that is ahead of the clock: its device began with a wrong one.
fn ahead(device: &Value) -> String {
    device["days_ahead"].as_u64().map_or(String::new(), |days| format!(", sequence {days} days ahead"))
}

fn added(key: &Value) -> String {
    let name = name(key);
    format!(
        "{name} has a key:\n  key id  {}\n  secret  {}\n  epoch   {}\n\
         The secret is shown this once. Put all three into the device: it seals its reports with them (docs/wire.md).\n\
         With --json it is a key file; `vagn send --key-file FILE` tries it.\n",
        text(key, "key_id"),
        text(key, "secret"),
        key["epoch"],
    )
}

fn rotated(key: &Value) -> String {
    let ended = match key["ended_epoch"].as_u64() {
        Some(epoch) => {
            format!("The secret of epoch {epoch}, which no datagram had used, is refused from now on.\n")
        }
        None => String::new(),
    };
    let note = match key["is_new_key"].as_bool() {
        Some(true) => "Epoch 15 was the last of the old key id, so this is a new one. ",
        _ => "",
    };
    format!(
        "{}{ended}{note}The old secret is open until the first datagram of the new one is taken; \
         `vagn device list` shows which epochs are open.\n",
        added(key)
    )
}

fn revoked(key: &Value) -> String {
    let name = name(key);
    format!(
        "The key {} of {name} is revoked: what it seals is refused from now on.\n{}\
         `vagn device add` gives {name} a new one.\n",
        text(key, "key_id"),
        open_to(key, name),
    )
}

/// Tells whether reports in clear are taken for a vehicle whose key is revoked, and from whom. A gateway's key closed no vehicle.
fn open_to(key: &Value, name: &str) -> String {
    let open = format!("reports in clear for {name} are taken from anybody");
    match (key["gateway"].is_null(), key["auth_devices"].as_str()) {
        (false, _) | (_, Some("required")) => String::new(),
        (true, Some("mixed")) => format!(
            "From now on {open}, as `auth.devices` is \"mixed\" and it has no key: give it a new one, or set \"required\".\n"
        ),
        (true, Some(mode)) => format!("As before, {open}, as `auth.devices` is \"{mode}\".\n"),
        (true, None) => {
            format!(
                "Unless `auth.devices` is \"required\", {open} when the service runs again without a new key.\n"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_vehicle_that_a_revocation_opens_is_named_as_open() {
        let said = |mode: Value| revoked(&json!({"vehicle_id": "A2", "key_id": "00", "auth_devices": mode}));
        assert!(said(json!("mixed")).contains("From now on reports in clear for A2 are taken from anybody"));
        assert!(said(json!("open")).contains("As before"));
        assert!(said(json!(null)).contains("Unless `auth.devices` is"));
        assert!(!said(json!("required")).contains("in clear"));
        assert!(!revoked(&json!({"gateway": "G", "auth_devices": "mixed"})).contains("in clear"));
    }

    #[test]
    fn a_sequence_ahead_of_the_clock_is_in_the_list() {
        let device = json!({"vehicle_id": "A2", "days_ahead": 12, "revoked_at": null});
        assert_eq!(state(&device), "in force, sequence 12 days ahead");
    }
}
