//! The registry: the commands that speak to it, and the removal of what has ended.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;
use vagn_flow::guard::Guard;
use vagn_otp::{ChildSpec, ThreadContext};

use super::Parts;
use crate::app::copier::LiveCopier;
use crate::control::{self, ClusterShown, ControlParts, ControlSocket, Deeds, RegistryCollector};

/// Pause between two looks for sessions and shares that have ended.
const TIDY_EVERY: Duration = Duration::from_secs(600);

/// Time for which they stay after their end, in ms: a clock that is a little wrong removes nothing too early.
const TIDY_AFTER_MS: i64 = 24 * 3_600_000;

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

/// Sleeps until the next look, with a beat each second, so that a rest does not count as a hang. Returns true on a stop.
fn rest(ctx: &ThreadContext) -> bool {
    (0..TIDY_EVERY.as_secs()).any(|_| {
        ctx.beat();
        ctx.sleep(Duration::from_secs(1))
    })
}
