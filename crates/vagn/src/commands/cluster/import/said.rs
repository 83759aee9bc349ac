//! Devices, tokens and shares of the single machine, brought into the registry of the cluster. Sessions are not: people sign in again.

use std::pin::pin;
use std::time::Duration;

use anyhow::{anyhow, bail};
use bytes::Bytes;
use futures_util::StreamExt;
use redb::backends::InMemoryBackend;
use tokio::time::timeout;
use vagn_nats::{Appended, Brokers, BucketEvent, NewObject};
use vagn_registry::{Arrived, Kind, Registry, RegistryError};

use crate::cluster::registry::{of_bucket, to_bucket};

/// Objects that are written at once, all or none.
const AT_ONCE: usize = 500;

/// Tries, where others change the registry meanwhile.
const TRIES: usize = 8;

/// Longest wait for the next object.
const COMES_WITHIN: Duration = Duration::from_secs(10);

/// What became of the old registry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Brought {
    pub(super) added: u64,
    pub(super) there: u64,
    /// What was left out, in words.
    pub(super) conflicts: Vec<String>,
}

/// Brings what the old registry has and the cluster has not. `key` wraps secrets, here and there.
pub(super) async fn bring(
    brokers: &Brokers,
    old: &Registry,
    key: Option<&[u8; 32]>,
) -> anyhow::Result<Brought> {
    let mut first = None;
    for _ in 0..TRIES {
        let (copy, last) = copied(brokers, key).await?;
        let about =
            copy.about()?.ok_or_else(|| anyhow!("the cluster has no whole registry yet; start its nodes"))?;
        if about.wrapped_by != Registry::key_mark(key) {
            bail!("registry.key_file is not that of the cluster; name the same file as its nodes");
        }
        let (objects, brought) = plan(old, &copy)?;
        let brought = first.get_or_insert(brought);
        if written(brokers, last, &objects).await? {
            return Ok(std::mem::take(brought));
        }
    }
    bail!("others change devices and tokens all the time, or the brokers do not answer; run it again")
}

/// Reads all that the cluster has, and where it ends.
async fn copied(brokers: &Brokers, key: Option<&[u8; 32]>) -> anyhow::Result<(Registry, u64)> {
    let away = || anyhow!("the brokers do not send devices and tokens; run it again");
    let copy = Registry::open_on(InMemoryBackend::new(), key)?;
    let mut events = pin!(brokers.follow_bucket(1));
    let Some(BucketEvent::Begun { info, newest }) = events.next().await else { return Err(away()) };
    let mut came = 0;
    while came < newest {
        // A consumer at a broker that is behind has nothing more, and lives.
        let event = timeout(COMES_WITHIN, events.next()).await;
        let Ok(Some(BucketEvent::Object { key, sequence, value })) = event else { return Err(away()) };
        came = sequence;
        if let Some((kind, key)) = of_bucket(&key) {
            let value = value.map(Vec::from);
            copy.take(&[Arrived { sequence, kind, key, value }], sequence)?;
        }
    }
    Ok((copy, info.last.max(came)))
}

/// Writes the objects behind this sequence; false where something else was written there meanwhile, or nobody knows.
async fn written(brokers: &Brokers, mut after: u64, objects: &[NewObject]) -> anyhow::Result<bool> {
    for some in objects.chunks(AT_ONCE) {
        match brokers.append(after, some).await {
            Appended::At(last) => after = last,
            Appended::Elsewhere | Appended::NoAnswer => return Ok(false),
            Appended::Full => bail!("the bucket of the registry at the brokers has no room"),
            Appended::Refused(why) => bail!("the brokers refuse devices and tokens: {why}"),
        }
    }
    Ok(true)
}

/// Finds out what the cluster lacks, and what cannot be brought.
fn plan(old: &Registry, copy: &Registry) -> Result<(Vec<NewObject>, Brought), RegistryError> {
    let (mut objects, mut brought) = (Vec::new(), Brought::default());
    let mut add = |kind, key: &str, value: Vec<u8>| {
        objects.push(NewObject { key: to_bucket(kind, key), value: Some(Bytes::from(value)) });
    };
    for token in old.tokens()? {
        let key = &*token.name;
        match copy.tokens()?.into_iter().find(|there| there.name == token.name) {
            None => {
                old.get(Kind::Token, key)?.into_iter().for_each(|found| add(Kind::Token, key, found.value))
            }
            Some(there) if there.digest == token.digest => brought.there += 1,
            Some(_) => brought.conflicts.push(format!("token {key}: the cluster has another of this name")),
        }
    }
    let mut failed = Ok(());
    old.each_device(|device| {
        let key = device.key_id.to_string();
        let name = device.of.name();
        let looked =
            copy.device(device.key_id).and_then(|there| Ok((there, copy.key_of(Kind::Device, name)?)));
        match looked {
            Err(err) => failed = Err(err),
            Ok((Some(there), _)) if there.of == device.of => brought.there += 1,
            Ok((Some(there), _)) => brought
                .conflicts
                .push(format!("key {key} of {name}: the cluster has it for {}", there.of.name())),
            Ok((None, Some(other))) if device.revoked_ms.is_none() && !device.is_replaced => brought
                .conflicts
                .push(format!("key {key} of {name}: in the cluster {name} has the key {other}")),
            Ok((None, _)) => add(Kind::Device, &key, copy.device_json(&device)),
        }
    })?;
    failed?;
    for (key, share) in old.list(Kind::Share)? {
        match copy.get(Kind::Share, &key)? {
            Some(_) => brought.there += 1,
            None => add(Kind::Share, &key, share.value),
        }
    }
    brought.added = objects.len() as u64;
    Ok((objects, brought))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_registry::{DeviceOf, NewToken, Role};

    const NOW: i64 = 1_795_860_000_000;

    fn registry() -> Registry {
        Registry::open_on(InMemoryBackend::new(), None).unwrap()
    }

    fn token(name: &str) -> NewToken {
        NewToken {
            name: name.into(),
            role: Role::Read,
            is_person: false,
            is_on_behalf: false,
            expires_ms: None,
        }
    }

    #[test]
    fn what_is_there_is_passed_over_and_what_differs_is_named() {
        let (old, there) = (registry(), registry());
        for name in ["anna", "both", "new"] {
            old.add_token(token(name), NOW).unwrap();
        }
        there.add_token(token("anna"), NOW).unwrap();
        let both = old.get(Kind::Token, "both").unwrap().unwrap();
        there.put_if(Kind::Token, "both", 0, Some(&both.value)).unwrap();
        for name in ["bus-1", "bus-2"] {
            old.add_device(DeviceOf::Vehicle(name.into()), NOW).unwrap();
        }
        let other = there.add_device(DeviceOf::Vehicle("bus-2".into()), NOW).unwrap();
        let (objects, brought) = plan(&old, &there).unwrap();
        let kinds: Vec<_> = objects.iter().map(|object| of_bucket(&object.key).unwrap().0).collect();
        assert_eq!(kinds, [Kind::Token, Kind::Device]);
        assert_eq!((brought.added, brought.there), (2, 1));
        let said = brought.conflicts.join("\n");
        assert!(said.contains("token anna") && said.contains(&other.key_id.to_string()), "{said}");
    }
}
