//! Devices as JSON.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use vagn_seal::{Epoch, KeyId, Secret};

use super::{Device, DeviceOf};
use crate::wrapping::{SecretAt, Wrapping};
use crate::{Kind, Object};

#[derive(Serialize, Deserialize)]
struct DeviceJson<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vehicle_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<Cow<'a, str>>,
    epochs: Vec<EpochJson<'a>>,
    added_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaces: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_false")]
    is_replaced: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_ms: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct EpochJson<'a> {
    epoch: u8,
    /// Secret in clear, where no wrapping key is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wrapped: Option<Cow<'a, str>>,
}

/// The fields that decide about the name.
#[derive(Deserialize)]
struct NameJson {
    vehicle_id: Option<Box<str>>,
    gateway: Option<Box<str>>,
    #[serde(default)]
    is_replaced: bool,
    revoked_ms: Option<i64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Returns the name that a device holds: that of its vehicle or gateway, while it is the key in force of it.
pub(crate) fn active_name(value: &[u8]) -> Option<Box<str>> {
    let json: NameJson = serde_json::from_slice(value).ok()?;
    let name = json.vehicle_id.or(json.gateway)?;
    (json.revoked_ms.is_none() && !json.is_replaced).then_some(name)
}

/// Returns true for a device that has secrets; one that makes no sense may have some.
pub(crate) fn has_secrets(value: &[u8]) -> bool {
    serde_json::from_slice::<DeviceJson<'_>>(value).map_or(true, |json| !json.epochs.is_empty())
}

/// Returns the JSON of a device with its secrets wrapped; `None` when it makes no sense.
pub(crate) fn rewrapped(key: &str, value: &[u8], wrapping: Option<&Wrapping>) -> Option<Vec<u8>> {
    let object = Object { value: value.to_vec(), revision: 0 };
    from_json(key, &object, None).map(|device| to_json(&device, wrapping))
}

pub(super) fn to_json(device: &Device, wrapping: Option<&Wrapping>) -> Vec<u8> {
    let key = device.key_id.to_string();
    let epochs =
        device.epochs.iter().map(|(epoch, secret)| epoch_json(&key, *epoch, secret, wrapping)).collect();
    let (vehicle_id, gateway, prefix) = match &device.of {
        DeviceOf::Vehicle(id) => (Some(Cow::from(&**id)), None, None),
        DeviceOf::Gateway { name, prefix } => (None, Some(Cow::from(&**name)), Some(Cow::from(&**prefix))),
    };
    let json = DeviceJson {
        vehicle_id,
        gateway,
        prefix,
        epochs,
        added_ms: device.added_ms,
        replaces: device.replaces.map(|key_id| key_id.to_string().into()),
        is_replaced: device.is_replaced,
        revoked_ms: device.revoked_ms,
    };
    serde_json::to_vec(&json).expect("numbers and texts can always be written")
}

fn epoch_json(key: &str, epoch: Epoch, secret: &Secret, wrapping: Option<&Wrapping>) -> EpochJson<'static> {
    let at = SecretAt { kind: Kind::Device, key, epoch: epoch.get() };
    let wrapped = wrapping.map(|wrapping| wrapping.wrap(&secret.0, at).into());
    let clear = wrapped.is_none().then(|| STANDARD.encode(secret.0).into());
    EpochJson { epoch: epoch.get(), secret: clear, wrapped }
}

pub(super) fn from_json(key: &str, object: &Object, wrapping: Option<&Wrapping>) -> Option<Device> {
    let json: DeviceJson<'_> = serde_json::from_slice(&object.value).ok()?;
    let of = match (json.vehicle_id, json.gateway, json.prefix) {
        (Some(id), None, _) => DeviceOf::Vehicle(id.into()),
        (None, Some(name), prefix) => {
            DeviceOf::Gateway { name: name.into(), prefix: prefix.unwrap_or_default().into() }
        }
        _ => return None,
    };
    let epochs: Option<_> = json.epochs.iter().map(|epoch| read_epoch(key, epoch, wrapping)).collect();
    let replaces = match json.replaces {
        Some(key_id) => Some(key_id.parse().ok()?),
        None => None,
    };
    Some(Device {
        key_id: key.parse::<KeyId>().ok()?,
        of,
        epochs: epochs?,
        added_ms: json.added_ms,
        replaces,
        is_replaced: json.is_replaced,
        revoked_ms: json.revoked_ms,
    })
}

fn read_epoch(key: &str, json: &EpochJson<'_>, wrapping: Option<&Wrapping>) -> Option<(Epoch, Secret)> {
    let epoch = Epoch::new(json.epoch)?;
    let at = SecretAt { kind: Kind::Device, key, epoch: json.epoch };
    let secret = match (&json.secret, &json.wrapped) {
        (_, Some(text)) => wrapping?.unwrap(text, at)?,
        (Some(text), None) => STANDARD.decode(&**text).ok()?,
        (None, None) => return None,
    };
    Some((epoch, Secret(secret.try_into().ok()?)))
}
