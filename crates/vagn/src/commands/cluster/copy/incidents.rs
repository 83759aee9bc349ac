//! The incidents of a cluster, with their trail: copied by following the trail, until a sign that was given to the leader is in the copy.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep, timeout};
use vagn_cluster::NodeId;
use vagn_cluster::trail::{DeedOutcome, TrailSettings, TrailView};
use vagn_emergency::{IncidentCopy, NoDesk};
use vagn_flow::clock::Clock;
use vagn_nats::{Handle, TrailDriver, TrailHandle, trail_bytes};
use vagn_shard::FleetShard;

use super::super::guest::{LOOK_EVERY, READY_WITHIN};
use super::UNDONE;

/// Longest wait for a sign that was given. Then another one is.
const SIGN_WITHIN: Duration = Duration::from_secs(5);

/// Longest wait while nothing comes, where a store is copied from another node.
const STILL_MAX: Duration = Duration::from_secs(300);

/// Fills the copy with all that was recorded before the call.
///
/// # Errors
/// No node leads calls for help, nothing comes for long, or the copy cannot be written.
pub(super) async fn copied(
    handle: &Handle<FleetShard>,
    shards: u16,
    copy: &IncidentCopy,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<()> {
    let settings = TrailSettings {
        may_lead: false,
        is_guest: true,
        makes_stream: false,
        ..TrailSettings::new(NodeId(0), fastrand::u64(..))
    };
    let brokers = (handle.brokers().clone(), trail_bytes(handle.stream_bytes(), shards));
    // What it tells is for the nodes that call.
    let (trail, driver) =
        TrailDriver::new(settings, copy.open(), brokers, Arc::new(move || clock.now_ms()), Box::new(drop));
    tokio::select! {
        () = driver.run() => bail!("{UNDONE}: the part of the command in calls for help has ended"),
        proved = proved(&trail, copy) => proved,
    }
}

/// Gives signs to the leader until one of them is in the copy.
async fn proved(trail: &TrailHandle<NoDesk>, copy: &IncidentCopy) -> anyhow::Result<()> {
    let (mut wait, mut told) = (Wait::new(), String::new());
    loop {
        let sign = fastrand::u64(1..);
        let outcome = timeout(SIGN_WITHIN, trail.deed(IncidentCopy::sign(sign))).await;
        if matches!(outcome, Ok(Ok(DeedOutcome::Done))) && came(copy, sign).await {
            return Ok(());
        }
        if let Some(fault) = copy.fault() {
            bail!(
                "{UNDONE}: the incidents cannot be written: {fault}; make room, or take a directory on another disk"
            );
        }
        let lack = wait.lack(trail.look(|node, now| node.view(now)).await.ok())?;
        if lack != told {
            eprintln!("waiting: {lack}");
            told = lack;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Waits until a sign is in the copy. False where it does not come: the copy may have been made anew, of a store that had it.
async fn came(copy: &IncidentCopy, sign: u64) -> bool {
    let until = Instant::now() + SIGN_WITHIN;
    while !copy.has(sign) {
        if Instant::now() >= until || copy.fault().is_some() {
            return false;
        }
        sleep(LOOK_EVERY / 4).await;
    }
    true
}

/// How long nothing has come.
struct Wait {
    received: u64,
    since: Instant,
    led_at: Instant,
}

impl Wait {
    fn new() -> Self {
        Self { received: 0, since: Instant::now(), led_at: Instant::now() }
    }

    /// Says what is waited for.
    ///
    /// # Errors
    /// It was waited for too long.
    fn lack(&mut self, view: Option<TrailView>) -> anyhow::Result<String> {
        let now = Instant::now();
        if let Some(view) = view {
            if view.received != self.received {
                (self.received, self.since) = (view.received, now);
            }
            if view.leader.is_some() || view.lacks_copy {
                self.led_at = now;
            }
        }
        let lack = match view {
            Some(TrailView { stopped: Some(_), .. }) => {
                "the trail of calls for help is broken; run `vagn cluster repair --trail` at a node"
            }
            Some(TrailView { lacks_copy: true, .. }) => "the incidents are copied from a node",
            Some(TrailView { trail: None, .. }) => {
                "the brokers have no trail of calls for help, or do not answer; start the nodes of the cluster"
            }
            Some(TrailView { leader: None, .. }) => {
                "no node leads calls for help; `vagn cluster status` says why"
            }
            Some(_) => "the leader of calls for help has not answered",
            None => "the node is busy",
        };
        for (since, most) in [(self.led_at, READY_WITHIN), (self.since, STILL_MAX)] {
            if since.elapsed() >= most {
                bail!("{UNDONE}: for {} s, {lack}", most.as_secs());
            }
        }
        Ok(lack.to_owned())
    }
}
