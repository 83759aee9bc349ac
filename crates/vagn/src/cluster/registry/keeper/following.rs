//! One subscription to the bucket: takes what comes into the copy, and compares both.

use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{info, warn};
use vagn_cluster::{StreamInfo, StreamOutcome};
use vagn_nats::BucketEvent;
use vagn_registry::{Arrived, CopyAnew, Kind, Registry, RegistryError};

use super::super::keys::of_bucket;
use super::super::source::Source;
use super::{Keeper, NOTE_EVERY_MS};

/// Comparisons without an answer after which nothing is written here.
const MISSES_MAX: u32 = 2;

/// Longest wait until those who watch have taken the first copy in.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// A subscription that is under way.
pub(super) struct Following<'a, S> {
    pub(super) keeper: &'a Keeper<S>,
    /// Figures of the bucket at its beginning.
    pub(super) begun: StreamInfo,
    /// Sequence of the newest object then, by the leader.
    pub(super) newest: u64,
    /// The copy that is made anew; `None` once all has come.
    pub(super) copy: Option<CopyAnew>,
    /// What says what the registry is has come for this copy.
    pub(super) has_about: bool,
    /// Sequence up to which all has come.
    pub(super) sequence: u64,
    /// End of the bucket at the comparison before.
    pub(super) last_seen: Option<u64>,
    /// Where the copy anew stood at the comparison before.
    pub(super) copied_through: Option<u64>,
    pub(super) misses: u32,
    pub(super) noted_ms: i64,
    /// It was seen that nothing is missing.
    pub(super) is_current: bool,
    /// The node takes its number.
    pub(super) entering: Option<JoinHandle<()>>,
}

impl<S: Source> Following<'_, S> {
    /// Takes what has come. False where it makes no sense.
    pub(super) fn take(&mut self, events: Vec<BucketEvent>) -> Result<bool, RegistryError> {
        let mut arrived = Vec::with_capacity(events.len());
        for event in events {
            let BucketEvent::Object { key, sequence, value } = event else { return Ok(false) };
            if sequence <= self.sequence {
                return Ok(false);
            }
            self.sequence = sequence;
            // Another one is of a later version, and nothing to this one.
            if let Some((kind, key)) = of_bucket(&key) {
                arrived.push(Arrived { sequence, kind, key, value: value.map(Vec::from) });
            }
        }
        let registry = &self.keeper.registry;
        // By the leader. The broker that delivers may be behind, and then it has nothing more long before.
        let (is_whole, begun) = (self.sequence >= self.newest, self.begun);
        if is_whole {
            // What is between was replaced, or removed and forgotten.
            self.sequence = self.sequence.max(begun.last);
        }
        let facts = arrived.iter().any(|one| one.kind == Kind::Cluster);
        match &mut self.copy {
            Some(copy) => {
                registry.take_anew(copy, &arrived)?;
                self.has_about |= arrived.iter().any(is_about);
                if is_whole && !self.has_about {
                    warn!("what the brokers send does not say what it is: it is not taken for the registry");
                    return Ok(false);
                }
                if is_whole {
                    let now_ms = self.keeper.clock.now_ms();
                    registry.finish_copy(copy, begun.incarnation.0, self.sequence, now_ms)?;
                    self.copy = None;
                    self.noted_ms = now_ms;
                }
            }
            None => registry.take(&arrived, self.sequence)?,
        }
        if is_whole && !self.is_current {
            self.is_current = self.begin_current()?;
        } else if facts {
            self.keeper.outlook.tell_keys(registry, &self.keeper.name)?;
        }
        Ok(true)
    }

    /// All is here. Returns false while somebody has not taken it in.
    fn begin_current(&mut self) -> Result<bool, RegistryError> {
        let Keeper { registry, outlook, name, metrics, .. } = self.keeper;
        if registry.awaits_copy() {
            // Until then a request that needs a token might find none.
            if !registry.wait_until_seen(SEEN_WITHIN) {
                return Ok(false);
            }
            registry.note_copy();
        }
        outlook.tell_keys(registry, name)?;
        metrics.compared(0);
        self.open()?;
        Ok(true)
    }

    /// Lets writes through, but for secrets that others could not unwrap.
    fn open(&mut self) -> Result<(), RegistryError> {
        let Keeper { registry, wrapped_by, .. } = self.keeper;
        let fits = registry.about()?.is_some_and(|about| about.wrapped_by == *wrapped_by);
        registry.set_other_key(!fits);
        registry.set_closed(None);
        self.keeper.tell(None);
        if !self.is_entered()? {
            self.enter();
        }
        Ok(())
    }

    /// True if the node has a number, and the mark of its key beside it.
    fn is_entered(&self) -> Result<bool, RegistryError> {
        let Keeper { registry, name, wrapped_by, .. } = self.keeper;
        let Some(number) = registry.node_number(name)? else { return Ok(false) };
        Ok(registry.nodes()?.iter().any(|node| node.number == number && node.wrapped_by == *wrapped_by))
    }

    /// Tries again to enter the node, whose entry may not have been taken, or may be lost.
    fn enter_again(&mut self) -> Result<(), RegistryError> {
        let Keeper { registry, name, outlook, .. } = self.keeper;
        outlook.tell_number(registry.node_number(name)?);
        if !self.is_entered()? {
            self.enter();
        }
        Ok(())
    }

    /// Lets the node take its number, beside: what it writes comes back here.
    fn enter(&mut self) {
        if self.entering.as_ref().is_some_and(|entering| !entering.is_finished()) {
            return;
        }
        let Keeper { registry, name, wrapped_by, .. } = self.keeper;
        let (registry, name, wrapped_by) = (registry.clone(), name.clone(), wrapped_by.clone());
        self.entering =
            Some(spawn_blocking(move || match registry.enter_node(&name, wrapped_by.as_deref()) {
                Ok(number) => info!(number, "the node has a number"),
                Err(err) => warn!(error = %err, "the node has not entered itself in the registry yet"),
            }));
    }

    /// Compares the copy with the bucket. False where it is to be looked at again.
    pub(super) async fn compare(&mut self) -> Result<bool, RegistryError> {
        let before = self.sequence;
        let info = match self.keeper.source.read().await {
            StreamOutcome::Is(info) => info,
            StreamOutcome::Absent => return Ok(false),
            StreamOutcome::NoAnswer => {
                self.misses += 1;
                if self.misses >= MISSES_MAX {
                    self.keeper.close("the brokers do not answer");
                }
                return Ok(true);
            }
        };
        if info.incarnation != self.begun.incarnation || info.last < before {
            warn!("the registry at the brokers is not the one that was followed: it is copied anew");
            return Ok(false);
        }
        if self.copy.is_some() {
            if self.copied_through.replace(before) == Some(before) {
                warn!(through = before, "the registry does not come from the brokers: it is copied anew");
                return Ok(false);
            }
            return Ok(true);
        }
        self.keeper.metrics.compared(info.last - before);
        // What was there 2 s ago has had its time to come.
        if self.last_seen.replace(info.last).is_some_and(|last| last > before) {
            warn!(
                behind = info.last - before,
                "the registry does not come from the brokers: it is followed anew"
            );
            self.keeper.close("the brokers do not send what is new");
            return Ok(false);
        }
        if info.last > before {
            return Ok(true);
        }
        if !self.is_current {
            self.is_current = self.begin_current()?;
        } else if std::mem::take(&mut self.misses) >= MISSES_MAX {
            self.open()?;
        } else {
            let closed = self.keeper.looks.lock().told.clone();
            self.keeper.tell(closed.as_deref());
            self.enter_again()?;
        }
        let now_ms = self.keeper.clock.now_ms();
        if (now_ms - self.noted_ms).abs() >= NOTE_EVERY_MS {
            self.keeper.registry.note_compared(now_ms)?;
            self.noted_ms = now_ms;
        }
        Ok(true)
    }
}

/// True for the object that says what the registry is.
fn is_about(one: &Arrived) -> bool {
    one.kind == Kind::Cluster && &*one.key == Registry::ABOUT && one.value.is_some()
}
