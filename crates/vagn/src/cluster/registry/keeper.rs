//! Follows the bucket into the copy, and compares both every 2 s.
//!
//! A copy that is of another incarnation, ends beyond the bucket, or was not compared for a day is made anew, over what is there. So is
//! one whose making was cut off. A subscription that breaks off, or that is silent although the bucket has more, is begun again
//! from where the copy ends.

mod following;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tracing::{info, warn};
use vagn_cluster::{Incarnation, RecordOutcome, StreamInfo, StreamOutcome};
use vagn_flow::clock::Clock;
use vagn_flow::readiness::{Purpose, Readiness};
use vagn_nats::BucketEvent;
use vagn_registry::{About, Copied, Kind, Registry, RegistryError};

use self::following::Following;
use super::keys::to_bucket;
use super::outlook::{CopyMetrics, Outlook};
use super::seed::{FILL_MAX, seed};
use super::source::Source;

/// Time between two comparisons.
const COMPARE_EVERY: Duration = Duration::from_secs(2);

/// Pause before the bucket is looked at again.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

/// Time for which a node that has no copy leaves it to others to make the bucket: they may have one.
const LEAVE_TO_OTHERS: Duration = Duration::from_millis(1_500);

/// Time for which a node leaves it to others whose copy may be old: what was revoked since would be in force again.
const LEAVE_TO_NEWER: Duration = Duration::from_secs(60);

/// Time since a comparison within which a copy counts as new, where all brokers were away meanwhile.
const NEW_WITHIN: Duration = Duration::from_secs(600);

/// Time without a change after which nobody fills a bucket any more that is not whole: longer than all tries of one batch.
pub(super) const STUCK_AFTER: Duration = FILL_MAX.saturating_add(Duration::from_secs(11));

/// The same where the copy of this node may be old, and where it has none: others, whose bucket it may be, go first.
const STUCK_FOR_OLD: Duration = Duration::from_secs(60);
const STUCK_FOR_NOTHING: Duration = Duration::from_secs(180);

/// Age beyond which a copy is made anew: brokers forget after a week what was removed.
const OLD_MS: i64 = 24 * 3_600_000;

/// Pause between two notes of the time of a comparison: each is a write.
const NOTE_EVERY_MS: i64 = 3_600_000;

/// Objects that are taken at once.
const AT_ONCE: usize = 1_024;

/// Parts of the keeper.
pub struct KeeperParts {
    /// The copy.
    pub registry: Registry,
    /// Name of the node.
    pub name: String,
    /// Mark of the key that wraps secrets here.
    pub wrapped_by: Option<String>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Receives obstacles and warnings.
    pub readiness: Arc<Readiness>,
    /// What a node without any copy cannot do.
    pub blocks: &'static [Purpose],
    /// Shows the copy.
    pub metrics: CopyMetrics,
}

/// Keeps the copy equal to the bucket.
pub struct Keeper<S> {
    source: S,
    registry: Registry,
    name: String,
    wrapped_by: Option<String>,
    clock: Arc<dyn Clock>,
    outlook: Outlook,
    metrics: CopyMetrics,
    looks: Mutex<Looks>,
}

/// What was seen at looks before.
#[derive(Default)]
struct Looks {
    /// Since when there is no bucket.
    absent: Option<Instant>,
    /// A bucket that is not whole: incarnation, last sequence, and since when these are so.
    unfilled: Option<(Incarnation, u64, Instant)>,
    /// The bucket that this node has found or made where there was none, to fill it.
    begun: Option<Incarnation>,
    /// Reason that was told last why nothing is written.
    told: Option<String>,
}

/// For how much a copy counts where brokers have no whole registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// There is none.
    Nothing,
    /// It was not compared in this run, or not for long, or it is being made anew.
    Old,
    /// It was equal to the bucket lately.
    New,
}

impl Standing {
    /// Time for which the bucket must have been away before it is made.
    fn leaves_to_others(self) -> Duration {
        match self {
            Self::Nothing => LEAVE_TO_OTHERS,
            Self::Old => LEAVE_TO_NEWER,
            Self::New => Duration::ZERO,
        }
    }

    /// Time for which nothing must have happened in a bucket that is not whole before it is begun again.
    fn stuck_after(self) -> Duration {
        match self {
            Self::Nothing => STUCK_FOR_NOTHING,
            Self::Old => STUCK_FOR_OLD,
            Self::New => STUCK_AFTER,
        }
    }
}

/// Why a look is over.
enum Over {
    /// The bucket is to be looked at again.
    Again,
}

impl<S: Source> Keeper<S> {
    /// Makes the keeper of a copy.
    pub fn new(source: S, parts: KeeperParts) -> Self {
        let KeeperParts { registry, name, wrapped_by, clock, readiness, blocks, metrics } = parts;
        let outlook = Outlook { readiness, blocks };
        let looks = Mutex::default();
        Self { source, registry, name, wrapped_by, clock, outlook, metrics, looks }
    }

    /// Keeps it until the future is dropped.
    ///
    /// # Errors
    /// The copy cannot be read or written.
    pub async fn run(&self) -> Result<(), RegistryError> {
        self.outlook.tell_keys(&self.registry, &self.name)?;
        loop {
            self.look().await?;
            sleep(AGAIN_AFTER).await;
        }
    }

    async fn look(&self) -> Result<(), RegistryError> {
        let info = match self.source.read().await {
            StreamOutcome::Is(info) => info,
            StreamOutcome::NoAnswer => {
                self.no_answer();
                return Ok(());
            }
            StreamOutcome::Absent => return self.begin().await,
        };
        self.looks.lock().absent = None;
        let about = match self.source.object(&to_bucket(Kind::Cluster, Registry::ABOUT)).await {
            RecordOutcome::Is { bytes, .. } => About::read(&bytes),
            RecordOutcome::NoAnswer => {
                self.no_answer();
                return Ok(());
            }
            RecordOutcome::Absent => return self.unfilled(info).await,
        };
        self.looks.lock().unfilled = None;
        let Some(about) = about else {
            self.close("what the brokers have was written by another version");
            return Ok(());
        };
        let own = self.registry.about()?;
        if own.is_some_and(|own| own.id != about.id) {
            self.close(
                "the brokers have another registry than the one that was copied here before, such as one that was begun without it. This node \
                 goes on with its copy; to take what the brokers have, stop it, move its directory cluster-registry aside, and start it",
            );
            return Ok(());
        }
        let Over::Again = self.follow(info).await?;
        Ok(())
    }

    /// Nothing is known. What was seen before may not be so any more.
    fn no_answer(&self) {
        self.close("the brokers do not answer");
        let mut looks = self.looks.lock();
        (looks.absent, looks.unfilled) = (None, None);
    }

    /// There is no bucket: makes it, and fills it with what is here.
    async fn begin(&self) -> Result<(), RegistryError> {
        self.close("the brokers have no registry yet");
        let since = *self.looks.lock().absent.get_or_insert_with(Instant::now);
        let standing = self.standing()?;
        if since.elapsed() < standing.leaves_to_others() {
            return Ok(());
        }
        if standing == Standing::Old {
            warn!(
                "no node brings a newer registry to the brokers: they get the copy of this one, which may lack what was changed while it was off"
            );
        }
        if let StreamOutcome::Is(StreamInfo { last: 0, incarnation, .. }) = self.source.make().await {
            self.looks.lock().begun = Some(incarnation);
            seed(&self.source, &self.registry, self.wrapped_by.clone()).await?;
        }
        Ok(())
    }

    /// Says for how much the copy counts where brokers have no whole registry.
    fn standing(&self) -> Result<Standing, RegistryError> {
        let copied = self.registry.copied()?;
        let is_new = self.metrics.since_equal().is_some_and(|since| since < NEW_WITHIN);
        Ok(match copied.incarnation {
            0 => Standing::Nothing,
            _ if is_new && !copied.is_copying => Standing::New,
            _ => Standing::Old,
        })
    }

    /// The bucket is not whole. If nobody fills it any more it is removed, and made anew by who finds it absent.
    async fn unfilled(&self, info: StreamInfo) -> Result<(), RegistryError> {
        self.close("another node brings the registry to the brokers");
        let now = Instant::now();
        let since = {
            let unfilled = &mut self.looks.lock().unfilled;
            match unfilled {
                Some((incarnation, last, since))
                    if (*incarnation, *last) == (info.incarnation, info.last) =>
                {
                    *since
                }
                _ => {
                    *unfilled = Some((info.incarnation, info.last, now));
                    now
                }
            }
        };
        let is_own = info.last == 0 && self.looks.lock().begun == Some(info.incarnation);
        if now.duration_since(since) < self.standing()?.stuck_after() && !is_own {
            return Ok(());
        }
        if info.last == 0 {
            // Made, and nothing was written: whoever writes first fills it.
            seed(&self.source, &self.registry, self.wrapped_by.clone()).await?;
            return Ok(());
        }
        // A bucket goes by its name alone, so it is looked at once more just before.
        let is_same = matches!(self.source.read().await, StreamOutcome::Is(again)
            if (again.incarnation, again.last) == (info.incarnation, info.last));
        let about = self.source.object(&to_bucket(Kind::Cluster, Registry::ABOUT)).await;
        if !is_same || about != RecordOutcome::Absent {
            return Ok(());
        }
        warn!("nobody fills the registry at the brokers any more: it is begun again");
        self.source.remove().await;
        self.looks.lock().unfilled = None;
        Ok(())
    }

    /// Follows the bucket until it is to be looked at again.
    async fn follow(&self, info: StreamInfo) -> Result<Over, RegistryError> {
        let copied = self.registry.copied()?;
        let goes_on = self.goes_on(copied, info);
        let mut events =
            self.source.follow(if goes_on { copied.sequence + 1 } else { 1 }).ready_chunks(AT_ONCE);
        let mut first = events.next().await.unwrap_or_default().into_iter();
        let Some(BucketEvent::Begun { info: begun, newest }) = first.next() else {
            self.close("the brokers do not send what they have");
            return Ok(Over::Again);
        };
        if begun.incarnation != info.incarnation || (goes_on && begun.last < copied.sequence) {
            return Ok(Over::Again);
        }
        let copy = if goes_on {
            None
        } else {
            self.close("it is being copied");
            self.metrics.copied();
            info!(through = newest, "the registry is copied from the brokers");
            Some(self.registry.begin_copy()?)
        };
        let sequence = if goes_on { copied.sequence } else { 0 };
        let mut following = Following {
            keeper: self,
            begun,
            newest,
            copy,
            has_about: false,
            sequence,
            last_seen: None,
            copied_through: None,
            misses: 0,
            noted_ms: copied.compared_ms,
            is_current: false,
            entering: None,
        };
        following.take(first.collect())?;
        let mut compare = interval_at(Instant::now() + COMPARE_EVERY, COMPARE_EVERY);
        compare.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let goes_on = tokio::select! {
                some = events.next() => match some {
                    Some(some) => following.take(some)?,
                    None => false,
                },
                _ = compare.tick() => following.compare().await?,
            };
            if !goes_on {
                return Ok(Over::Again);
            }
        }
    }

    /// True if the copy can go on from where it ends.
    fn goes_on(&self, copied: Copied, info: StreamInfo) -> bool {
        let age_ms = self.clock.now_ms().saturating_sub(copied.compared_ms);
        !copied.is_copying
            && copied.incarnation == info.incarnation.0
            && copied.sequence <= info.last
            // One that is compared in the future was compared under a wrong clock, now or then.
            && (-NOTE_EVERY_MS..OLD_MS).contains(&age_ms)
    }

    /// Says why nothing is written here.
    fn close(&self, why: &str) {
        self.registry.set_closed(Some(why.to_owned()));
        self.tell(Some(why));
    }

    fn tell(&self, closed: Option<&str>) {
        self.outlook.tell(&self.registry, closed, self.metrics.age());
        let mut looks = self.looks.lock();
        if looks.told.as_deref() != closed {
            match closed {
                Some(why) => info!(reason = why, "the registry of the cluster cannot be changed here"),
                None => info!("the registry of the cluster is here, and can be changed"),
            }
            looks.told = closed.map(str::to_owned);
        }
    }
}
