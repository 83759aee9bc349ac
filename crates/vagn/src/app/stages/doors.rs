//! The doors: last to start, first to stop.

use anyhow::Context;
use vagn_flow::intake::Intake;
use vagn_otp::{ChildSpec, Strategy, Supervisor};

use super::{Parts, kept};
use crate::door::{DoorParts, Doors, IsKnown};

/// Returns the supervisor of the doors.
pub(super) fn build(
    parts: &Parts,
    doors: Doors,
    intake: &Intake,
    is_known: IsKnown,
) -> anyhow::Result<ChildSpec> {
    let door_parts = DoorParts {
        intake: intake.clone(),
        clock: parts.clock.clone(),
        metrics: parts.doors.clone(),
        registry: parts.metric_registry.clone(),
        tcp_places: parts.places.tcp.clone(),
        is_known,
        seed: fastrand::u64(..),
        handshakes: Some(parts.handshake_runtime.clone()),
        tls: parts.certificates.identity.server_config(&[]).context("set up TLS for the TCP door")?,
    };
    let limit = parts.settings.hang_limit.0;
    let children = doors.children(&door_parts).into_iter().map(|child| kept(child.watchdog(limit)));
    Ok(ChildSpec::supervisor(Supervisor::new("doors", Strategy::OneForOne).children(children)))
}
