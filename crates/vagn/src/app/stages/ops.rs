//! The operator's pages, and what keeps the service itself going.

use std::net::{SocketAddr, TcpListener};

use vagn_flow::stamp::Stamper;
use vagn_http::host;
use vagn_http::server::{self, Limits, Server, ServerParts};
use vagn_otp::ChildSpec;

use super::Parts;
use crate::demo;
use crate::logging::LostLines;
use crate::odd::OddFleet;
use crate::ops::{self, LateProcesses, ShowCluster};

/// Returns the server of the operator's pages, and where it looks for the process list once there is one.
pub(super) fn build(
    parts: &Parts,
    listeners: Vec<TcpListener>,
    odd: OddFleet,
    cluster: Option<ShowCluster>,
) -> (LateProcesses, ChildSpec) {
    parts.metric_registry.register_collector(Box::new(LostLines));
    let processes = LateProcesses::default();
    let router = ops::router(ops::Services {
        registry: parts.metric_registry.clone(),
        readiness: parts.readiness.clone(),
        trust: parts.trust.clone(),
        processes: processes.clone(),
        odd,
        clock: parts.clock.clone(),
        cluster,
        names: names(parts),
        fault_injection: parts.settings.ops.fault_injection,
    });
    let server = Server::new(ServerParts {
        router,
        tls: None,
        limits: Limits { memory: parts.memory.clone(), is_operators: true, ..Limits::default() },
        places: parts.places.ops.clone(),
        metrics: parts.doors.clone(),
        behind: None,
        handshakes: None,
    });
    let child = server::child("ops", server, listeners).watchdog(parts.settings.hang_limit.0);
    (processes, child)
}

/// Returns the names under which the pages may be asked for.
fn names(parts: &Parts) -> Vec<String> {
    let settings = &parts.settings;
    let own = [host::of_machine(), settings.http.public_url.clone()];
    settings.ops.names.iter().cloned().chain(own).collect()
}

/// Looks at the clock, and keeps the mark of the arrival stamps ahead of it as far as it is believed.
pub(super) fn clock_mark(parts: &Parts) -> ChildSpec {
    let (stamper, trust) = (parts.stamper.clone(), parts.trust.clone());
    let mark = ChildSpec::thread("clock", move |ctx| {
        ctx.ready();
        while !ctx.sleep(Stamper::RENEW_EVERY) {
            ctx.beat();
            stamper.renew_mark(trust.believed())?;
        }
        Ok(())
    });
    mark.watchdog(parts.settings.hang_limit.0)
}

/// Drives the recorded fleet to the door at this address.
pub(super) fn demo(parts: &Parts, door: SocketAddr) -> ChildSpec {
    let clock = parts.clock.clone();
    let driving = ChildSpec::thread("demo", move |ctx| demo::drive(&ctx, &*clock, door));
    driving.watchdog(parts.settings.hang_limit.0)
}
