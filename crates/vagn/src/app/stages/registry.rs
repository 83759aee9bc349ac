//! The registry: the commands that speak to it, and the removal of what has ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;
use tracing::warn;
use vagn_flow::guard::Guard;
use vagn_flow::proof::DeviceMode;
use vagn_flow::readiness::Purpose;
use vagn_otp::{ChildSpec, ThreadContext};

use super::Parts;
use crate::app::copier::LiveCopier;
use crate::cluster::registry::{CopyMetrics, Keeper, KeeperParts, REGISTRY, Way};
use crate::control::{self, ClusterShown, ControlParts, ControlSocket, Deeds, RegistryCollector};

/// Pause between two looks for sessions and shares that have ended.
const TIDY_EVERY: Duration = Duration::from_secs(600);

/// Time for which they stay after their end, in ms: a clock that is a little wrong removes nothing too early.
const TIDY_AFTER_MS: i64 = 24 * 3_600_000;

/// Pause between two signs of life.
const BEAT_EVERY: Duration = Duration::from_millis(200);

/// Returns the child that serves commands on this machine.
pub(super) fn control(
    parts: &Parts,
    socket: ControlSocket,
    copier: LiveCopier,
    guard: Arc<Guard>,
    cluster: Option<Arc<dyn ClusterShown>>,
) -> ChildSpec {
    let origin = parts.settings.http.public_url.as_str().into();
    let (registry, clock) = (parts.registry.clone(), parts.clock.clone());
    let deeds = Deeds { registry, clock, origin, guard: Some(guard) };
    let of = ControlParts { deeds, copier: Arc::new(copier), cluster };
    control::child(socket, of, &parts.metric_registry).watchdog(parts.settings.hang_limit.0)
}

/// Shows the registry in the metrics, and returns the child that removes sessions and shares that have ended. What is gone does not
/// come back, so it goes by a clock that is believed.
pub(super) fn tidy(parts: &Parts) -> ChildSpec {
    parts.metric_registry.register_collector(Box::new(RegistryCollector(parts.registry.clone())));
    let (registry, trust) = (parts.registry.clone(), parts.trust.clone());
    let child = ChildSpec::thread("registry", move |ctx| {
        ctx.ready();
        while !rest(&ctx) {
            let before_ms = trust.now().and_then(|believed| believed.before(TIDY_AFTER_MS));
            if let Some(Err(err)) = before_ms.map(|before_ms| registry.remove_ended(before_ms)) {
                warn!(error = %err, "failed to remove sessions and shares that have ended");
            }
        }
        Ok(())
    });
    child.watchdog(parts.settings.hang_limit.0)
}

/// Returns the thread that keeps the copy of the cluster's registry; `None` on one machine.
pub(super) fn keeper(parts: &Parts) -> Option<ChildSpec> {
    let name = parts.node_name.clone()?;
    let metrics = CopyMetrics::new(parts.registry.clone(), parts.clock.clone());
    parts.metric_registry.register_collector(Box::new(metrics.clone()));
    // Where devices must or may prove who they are, a door without their keys turns them away, and whoever proves nothing too.
    let blocks = if parts.settings.auth.devices == DeviceMode::Open { Purpose::FLEET } else { Purpose::ALL };
    let of = KeeperParts {
        registry: parts.registry.clone(),
        name,
        wrapped_by: parts.wrapped_by.clone(),
        clock: parts.clock.clone(),
        readiness: parts.readiness.clone(),
        blocks,
        metrics,
    };
    if parts.registry.awaits_copy() {
        parts.readiness.missing(REGISTRY, blocks, "devices and tokens of the cluster are not here yet");
    }
    let keeper = Arc::new(Keeper::new(Way(parts.link.clone()), of));
    let runtime = Handle::current();
    let child = ChildSpec::thread("registry-copy", move |ctx| {
        ctx.ready();
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = stopped(&ctx) => Ok(()),
                ended = keeper.run() => Ok(ended?),
            }
        })
    });
    Some(child.watchdog(parts.settings.hang_limit.0))
}

/// Gives signs of life until the thread is told to stop.
async fn stopped(ctx: &ThreadContext) {
    while !ctx.stopping() {
        ctx.beat();
        sleep(BEAT_EVERY).await;
    }
}

/// Sleeps until the next look, with a beat each second, so that a rest does not count as a hang. Returns true on a stop.
fn rest(ctx: &ThreadContext) -> bool {
    (0..TIDY_EVERY.as_secs()).any(|_| {
        ctx.beat();
        ctx.sleep(Duration::from_secs(1))
    })
}
