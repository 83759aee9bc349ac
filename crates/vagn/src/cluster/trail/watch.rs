//! The watch: looks at the trail's driver and at the lane again and again, and shows them in metrics, readiness and status.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};
use vagn_cluster::NodeId;
use vagn_cluster::trail::{TrailRefusal, TrailRepair, TrailView};
use vagn_nats::Unavailable;
use vagn_otp::{ChildSpec, Failure, TaskContext};

use super::lane::Lane;
use super::link::TrailLink;
use super::metrics::TrailMetrics;
use super::news::TrailNews;
use super::outlook::TrailOutlook;
use super::picture::TrailPicture;

/// Pause between two looks while nothing happens.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Least pause between two looks, whatever happens.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Longest wait for a look.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// Parts of the watch.
pub struct WatchParts<L: Lane> {
    /// Leads to the driver.
    pub link: TrailLink<L::Desk>,
    /// The emergency lane.
    pub lane: L,
    /// It may lead.
    pub may_lead: bool,
    /// Ends a pause.
    pub news: TrailNews,
    /// Shown after each look.
    pub metrics: Arc<TrailMetrics>,
    /// Told after each look.
    pub outlook: TrailOutlook,
    /// Tells which nodes own shards, once that is known.
    pub owners: Box<dyn Fn() -> Option<BTreeSet<NodeId>> + Send + Sync>,
}

/// The watch. Clones are the same.
pub struct TrailWatch<L: Lane> {
    parts: Arc<WatchParts<L>>,
    latest: Arc<Mutex<Option<TrailPicture>>>,
}

impl<L: Lane> Clone for TrailWatch<L> {
    fn clone(&self) -> Self {
        Self { parts: self.parts.clone(), latest: self.latest.clone() }
    }
}

/// The last sign of a leader.
pub(super) struct Seen {
    /// Moment of the entry, by the driver.
    led_ms: Option<u64>,
    /// Moment of the look that showed it first; of the first look, while none did.
    at: Instant,
}

impl Default for Seen {
    fn default() -> Self {
        Self { led_ms: None, at: Instant::now() }
    }
}

impl Seen {
    /// Takes in a look. Returns the time since an entry of a leader came; one that counts for nothing is no sign of one.
    pub(super) fn silence(&mut self, view: Option<&TrailView>) -> Duration {
        let led_ms = view.and_then(|view| view.led_ms);
        if led_ms.is_some() && led_ms != self.led_ms {
            *self = Self { led_ms, at: Instant::now() };
        }
        self.at.elapsed()
    }
}

impl<L: Lane> TrailWatch<L> {
    /// A watch that has not looked yet.
    pub fn new(parts: WatchParts<L>) -> Self {
        Self { parts: Arc::new(parts), latest: Arc::default() }
    }

    /// Returns what the last look has shown; `None` before the first.
    pub fn latest(&self) -> Option<TrailPicture> {
        self.latest.lock().clone()
    }

    /// Lets this node lead with settings that differ from those of the last leader, as a person says.
    ///
    /// # Errors
    /// [`Unavailable`] while the driver is being started, or has too much to do.
    pub fn lead(&self) -> Result<(), Unavailable> {
        self.parts.link.handle()?.lead()
    }

    /// Has a broken trail begun anew from what this node has, or this node copy another one's incidents, as a person says. Waits for 33 s at most.
    ///
    /// # Errors
    /// [`Unavailable`]: it was not asked, or the driver has ended. The other error is the reason that nothing was begun.
    pub async fn repair(&self) -> Result<Result<TrailRepair, TrailRefusal>, Unavailable> {
        self.parts.link.handle()?.repair().await
    }

    /// Returns the child that looks.
    pub fn child(&self) -> ChildSpec {
        let watch = self.clone();
        ChildSpec::task("trail-watch", move |ctx| {
            let watch = watch.clone();
            async move { watch.run(&ctx).await }
        })
    }

    async fn run(&self, ctx: &TaskContext) -> Result<(), Failure> {
        let mut seen = Seen::default();
        ctx.ready();
        loop {
            ctx.beat().await;
            self.look(&mut seen).await;
            let pause = async {
                sleep(PAUSE_MIN).await;
                timeout(LOOK_EVERY - PAUSE_MIN, self.parts.news.came()).await.ok();
            };
            tokio::select! {
                () = ctx.stopping() => return Ok(()),
                () = pause => {}
            }
        }
    }

    pub(super) async fn look(&self, seen: &mut Seen) {
        let WatchParts { lane, may_lead, metrics, outlook, .. } = &*self.parts;
        let view = timeout(LOOK_WITHIN, self.view()).await.ok().and_then(Result::ok);
        let silence = seen.silence(view.as_ref());
        let picture = TrailPicture { view, silence, desk: lane.status(), may_lead: *may_lead };
        metrics.show(&picture);
        outlook.tell(&picture);
        *self.latest.lock() = Some(picture);
    }

    async fn view(&self) -> Result<TrailView, Unavailable> {
        let handle = self.parts.link.handle()?;
        if let Some(owners) = (self.parts.owners)() {
            // It is told again with the next look.
            handle.known(owners.into_iter().collect()).ok();
        }
        handle.look(|node, now| node.view(now)).await
    }
}
