//! Devices, tokens and shares as answers show them. No list has a secret; each is shown once, when it is made.

use serde_json::{Map, Value, json};
use vagn_flow::rfc3339::rfc3339;
use vagn_registry::{Device, DeviceOf, NewSecret, Share, Token};

/// Length of a day, ms.
const DAY_MS: u64 = 24 * 3_600_000;

/// Shows a key with its newest secret.
pub(super) fn new_key(device: &Device) -> Value {
    let mut shown = owner(&device.of);
    shown.insert("key_id".into(), json!(device.key_id.to_string()));
    if let Some((epoch, secret)) = device.newest() {
        shown.insert("secret".into(), json!(secret.to_base64()));
        shown.insert("epoch".into(), json!(epoch.get()));
    }
    Value::Object(shown)
}

/// Shows a key in a list.
pub(super) fn device(device: &Device) -> Value {
    let mut shown = owner(&device.of);
    let epochs: Vec<_> = device.epochs.iter().map(|(epoch, _)| epoch.get()).collect();
    shown.insert("key_id".into(), json!(device.key_id.to_string()));
    shown.insert("epochs".into(), json!(epochs));
    shown.insert("added_at".into(), json!(rfc3339(device.added_ms)));
    shown.insert("revoked_at".into(), time(device.revoked_ms));
    Value::Object(shown)
}

/// Adds to a key in a list that the last sequence under it is ahead of the clock.
pub(super) fn ahead(device: &mut Value, sequence: u64, now_ms: i64) {
    device["sequence"] = json!(sequence);
    device["days_ahead"] = json!(sequence.saturating_sub(now_ms.max(0).unsigned_abs()) / DAY_MS);
}

fn owner(of: &DeviceOf) -> Map<String, Value> {
    let shown = match of {
        DeviceOf::Vehicle(id) => vec![("vehicle_id", id)],
        DeviceOf::Gateway { name, prefix } => vec![("gateway", name), ("prefix", prefix)],
    };
    shown.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

/// Shows a token that was just made.
pub(super) fn new_token(token: &Token, secret: &NewSecret) -> Value {
    json!({"name": token.name, "role": token.role, "token": secret.text()})
}

/// Shows a token in a list.
pub(super) fn token(token: &Token, now_ms: i64) -> Value {
    let state = match token.revoked_ms {
        Some(_) => "revoked",
        None if token.is_in_force(now_ms) => "in_force",
        None => "expired",
    };
    json!({
        "name": token.name,
        "role": token.role,
        "person": token.is_person,
        "on_behalf": token.is_on_behalf,
        "state": state,
        "added_at": rfc3339(token.added_ms),
        "expires_at": time(token.expires_ms),
        "revoked_at": time(token.revoked_ms),
    })
}

/// Shows a link that was just made; its `url` is null where `origin` is empty.
pub(super) fn new_share(share: &Share, secret: &NewSecret, origin: &str) -> Value {
    let url = Some(origin).filter(|origin| !origin.is_empty());
    json!({
        "number": share.number,
        "vehicle_id": share.vehicle_id,
        "path": format!("/s/{}", secret.text()),
        "url": url.map(|origin| format!("{origin}/s/{}", secret.text())),
        "expires_at": rfc3339(share.expires_ms),
    })
}

/// Shows a link in a list.
pub(super) fn share(share: &Share, now_ms: i64) -> Value {
    json!({
        "number": share.number,
        "vehicle_id": share.vehicle_id,
        "by": share.by,
        "state": if now_ms < share.expires_ms { "in_force" } else { "expired" },
        "added_at": rfc3339(share.added_ms),
        "expires_at": rfc3339(share.expires_ms),
    })
}

fn time(time_ms: Option<i64>) -> Value {
    time_ms.map_or(Value::Null, |time_ms| json!(rfc3339(time_ms)))
}
