//! A bucket is begun: with all that the copy of a node has, if there is one, as when the brokers have lost their disks. What says what the registry
//! is comes last, so a bucket that has it is whole.

use std::time::Duration;

use bytes::Bytes;
use tracing::{info, warn};
use vagn_nats::{Appended, BATCH_MAX, NewObject};
use vagn_registry::{About, Kind, Registry, RegistryError};

use super::keys::to_bucket;
use super::source::{FULL, Source};

/// Objects that are written at once.
const AT_ONCE: usize = 500;

/// Tries of a write that gets no answer.
const TRIES: u32 = 5;

/// Longest time for which one batch is tried.
pub(super) const FILL_MAX: Duration = BATCH_MAX.saturating_mul(TRIES);

/// Fills an empty bucket. Returns false where it is not filled: another node was first, or brokers do not take it.
pub(super) async fn seed(
    source: &impl Source,
    registry: &Registry,
    wrapped_by: Option<String>,
) -> Result<bool, RegistryError> {
    let (about_key, about) = match registry.about()? {
        Some(about) => Registry::about_json(&about),
        None => Registry::about_json(&About::new(wrapped_by)),
    };
    let mut keys = Vec::new();
    registry.each_object(|kind, key, _| {
        if (kind, key) != (Kind::Cluster, about_key) {
            keys.push((kind, Box::<str>::from(key)));
        }
    })?;
    info!(objects = keys.len(), "the registry has no bucket at the brokers: one is made of what is here");
    let mut after = 0;
    for some in keys.chunks(AT_ONCE) {
        let mut objects = Vec::with_capacity(some.len());
        for (kind, key) in some {
            let found = registry.get(*kind, key)?;
            objects.extend(found.map(|found| new(to_bucket(*kind, key), found.value)));
        }
        match append(source, after, &objects).await {
            Some(last) => after = last,
            None => return Ok(false),
        }
    }
    let about = new(to_bucket(Kind::Cluster, about_key), about);
    Ok(append(source, after, &[about]).await.is_some())
}

fn new(key: String, value: Vec<u8>) -> NewObject {
    NewObject { key, value: Some(Bytes::from(value)) }
}

async fn append(source: &impl Source, after: u64, objects: &[NewObject]) -> Option<u64> {
    for _ in 0..TRIES {
        match source.append(after, objects).await {
            Appended::At(last) => return Some(last),
            // The same again: it is taken once at most. One that was taken without an answer is given up here, and begun anew.
            Appended::NoAnswer => {}
            Appended::Elsewhere => return None,
            Appended::Full => {
                warn!("the registry is not brought to the brokers: {FULL}");
                return None;
            }
            Appended::Refused(reason) => {
                warn!(reason, "brokers refuse the objects of the registry");
                return None;
            }
        }
    }
    None
}
