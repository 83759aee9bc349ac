//! Copies the bucket once, for a copy of the whole service, and writes nothing to it.
//!
//! A leader of the bucket that was cut off may tell its figures for 10 s. So the copy is compared with figures that were asked for at least so long after the
//! moment whose objects it is to have.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, ReadyChunks};
use tokio::time::{Instant, sleep, timeout};
use vagn_cluster::{RecordOutcome, StreamInfo, StreamOutcome};
use vagn_flow::clock::Clock;
use vagn_nats::BucketEvent;
use vagn_registry::{Appended, Arrived, Bucket, CopyAnew, Kind, Put, Registry, RegistryError};

use super::keys::{of_bucket, to_bucket};
use super::source::Source;

/// Time after which no leader tells figures of the bucket from before.
pub const PROVEN_AFTER: Duration = Duration::from_secs(10);

/// Longest silence of the bucket while something is to come.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Time for which the bucket is tried to be copied without success.
const WITHIN: Duration = Duration::from_secs(60);

/// Pause before it is tried again, or compared again.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

/// Objects that are taken at once.
const AT_ONCE: usize = 1_024;

/// Reason why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum NoCopy {
    /// The copy cannot be written.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The brokers did not give all of it in time.
    #[error("for {within} s, {0}", within = WITHIN.as_secs())]
    Silent(&'static str),
}

/// A bucket that takes nothing: for a registry that is a copy and no more.
#[derive(Debug, Default)]
pub struct TakesNothing;

impl Bucket for TakesNothing {
    fn append(&self, _: u64, _: &[Put<'_>]) -> Appended {
        Appended::Refused("it is copied, and not written".to_owned())
    }
}

/// Copies the bucket into a registry that is empty. It has all that was there [`PROVEN_AFTER`] before `proven`, and ends after that moment.
///
/// # Errors
/// The brokers have no whole registry or do not give it, or it cannot be written.
pub async fn copy(
    source: &impl Source,
    registry: &Registry,
    clock: &Arc<dyn Clock>,
    proven: Instant,
) -> Result<(), NoCopy> {
    let until = Instant::now() + WITHIN;
    loop {
        match try_copy(source, registry, &**clock, proven).await? {
            None => return Ok(()),
            Some(why) if Instant::now() >= until => return Err(NoCopy::Silent(why)),
            Some(_) => sleep(AGAIN_AFTER).await,
        }
    }
}

/// Tries it once. Returns the reason why there is no copy; `None` once there is one.
async fn try_copy(
    source: &impl Source,
    registry: &Registry,
    clock: &dyn Clock,
    proven: Instant,
) -> Result<Option<&'static str>, RegistryError> {
    let about = match source.object(&to_bucket(Kind::Cluster, Registry::ABOUT)).await {
        RecordOutcome::Is { .. } => source.read().await,
        RecordOutcome::Absent => return Ok(Some("the brokers have no whole registry")),
        RecordOutcome::NoAnswer => StreamOutcome::NoAnswer,
    };
    let StreamOutcome::Is(_) = about else { return Ok(Some("the brokers did not tell of the registry")) };
    let mut events = source.follow(1).ready_chunks(AT_ONCE);
    let mut first = next(&mut events).await.into_iter();
    let Some(BucketEvent::Begun { info, newest }) = first.next() else {
        return Ok(Some("the brokers did not send the registry"));
    };
    let mut copying = Copying { registry, copy: registry.begin_copy()?, begun: info, sequence: 0 };
    copying.take(first.collect())?;
    if !copying.reach(newest, &mut events).await? {
        return Ok(Some("the brokers did not send all of the registry"));
    }
    // What is between was replaced, or removed and forgotten.
    copying.sequence = copying.sequence.max(info.last);
    copying.compare(source, clock, proven, &mut events).await
}

type Events = ReadyChunks<BoxStream<'static, BucketEvent>>;

async fn next(events: &mut Events) -> Vec<BucketEvent> {
    timeout(SILENCE_MAX, events.next()).await.ok().flatten().unwrap_or_default()
}

/// A copy that is being made.
struct Copying<'a> {
    registry: &'a Registry,
    copy: CopyAnew,
    begun: StreamInfo,
    /// Sequence up to which all has come.
    sequence: u64,
}

impl Copying<'_> {
    /// Takes what comes until it has reached this sequence. False where nothing comes.
    async fn reach(&mut self, sequence: u64, events: &mut Events) -> Result<bool, RegistryError> {
        while self.sequence < sequence {
            let some = next(events).await;
            if some.is_empty() {
                return Ok(false);
            }
            self.take(some)?;
        }
        Ok(true)
    }

    fn take(&mut self, events: Vec<BucketEvent>) -> Result<(), RegistryError> {
        let mut arrived = Vec::with_capacity(events.len());
        for event in events {
            let BucketEvent::Object { key, sequence, value } = event else { continue };
            self.sequence = self.sequence.max(sequence);
            // Another one is of a later version, and nothing to this one.
            if let Some((kind, key)) = of_bucket(&key) {
                arrived.push(Arrived { sequence, kind, key, value: value.map(Vec::from) });
            }
        }
        self.registry.take_anew(&mut self.copy, &arrived)
    }

    /// Takes what comes until figures that were asked for after `proven` tell of nothing more.
    async fn compare(
        &mut self,
        source: &impl Source,
        clock: &dyn Clock,
        proven: Instant,
        events: &mut Events,
    ) -> Result<Option<&'static str>, RegistryError> {
        // It is drained meanwhile: a consumer that takes nothing is ended.
        while Instant::now() < proven {
            match timeout(AGAIN_AFTER, events.next()).await {
                Ok(Some(some)) => self.take(some)?,
                Ok(None) => return Ok(Some("the brokers sent the registry no more")),
                Err(_) => {}
            }
        }
        let StreamOutcome::Is(info) = source.read().await else {
            return Ok(Some("the brokers did not tell of the registry"));
        };
        if info.incarnation != self.begun.incarnation {
            return Ok(Some("the registry at the brokers was made anew"));
        }
        if !self.reach(info.last, events).await? {
            return Ok(Some("the brokers did not send what is new of the registry"));
        }
        self.registry.finish_copy(&self.copy, info.incarnation.0, self.sequence, clock.now_ms())?;
        Ok(None)
    }
}
