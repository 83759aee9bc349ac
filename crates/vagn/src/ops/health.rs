//! `/healthz` tells that the process answers. `/readyz` tells that the service can be used, or what is missing, with warnings.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use vagn_otp::{ProcessInfo, ProcessState, Processes};

use super::Ops;
use vagn_flow::readiness::{Purpose, Readiness, ReadyReport};
use vagn_http::answer;

/// Answers always. As long as it does, there is no reason to kill the process.
pub(super) async fn alive() -> Response {
    answer::live("text/plain; charset=utf-8", b"ok\n".to_vec())
}

/// Answers 200 when nothing is missing, and 503 otherwise, with a JSON body of the same form.
pub(super) async fn ready(State(ops): State<Ops>) -> Response {
    let report = match ops.processes.get() {
        Some(processes) => of(&ops.readiness, processes),
        None => starting(&ops.readiness),
    };
    let mut response = answer::json("application/json", &report);
    if !report.ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// Returns the readiness by all that is known: what the parts say of themselves, and what can be seen of them from outside.
pub(crate) fn of(readiness: &Readiness, processes: &Processes) -> ReadyReport {
    let mut report = readiness.report();
    let list = processes.list();
    add_closed(&mut report, &list);
    add_hung(&mut report, &list);
    report
}

fn starting(readiness: &Readiness) -> ReadyReport {
    let mut report = readiness.report();
    report.add_missing("doors", Purpose::ALL, "the service is still starting");
    report
}

/// Adds the doors, and the API, that are not open. Their supervisors start them again with growing pauses, without end, so
/// nothing else would report a door that stays closed.
fn add_closed(report: &mut ReadyReport, processes: &[ProcessInfo]) {
    let mut is_any_open = false;
    for (info, entrance) in processes.iter().filter_map(|info| Some((info, Entrance::of(info)?))) {
        if info.state == ProcessState::Running {
            is_any_open = true;
            continue;
        }
        match entrance {
            Entrance::Door(name) => report.add_missing(format!("door {name}"), &[], why(info)),
            Entrance::Api => report.add_missing("web", &[Purpose::Ask], why(info)),
        }
    }
    // Each door takes alarms and positions, and so does the API: one that is open is enough.
    if !is_any_open {
        report.block(&[Purpose::TakeAlarms, Purpose::Store]);
    }
}

/// Adds the parts that hang. Most are restarted at once; one that hangs in a disk can only be waited for.
fn add_hung(report: &mut ReadyReport, processes: &[ProcessInfo]) {
    for (info, hung) in processes.iter().filter_map(|info| Some((info, info.hung?))) {
        let name = info.path.split_once('/').map_or(&*info.path, |(_, below_root)| below_root);
        report.add_missing(name, blocked_by(name), format!("hangs for {} s", hung.as_secs()));
    }
}

/// Returns what is impossible while this part hangs.
fn blocked_by(name: &str) -> &'static [Purpose] {
    match name.split('/').next() {
        // The index can be read while its writer hangs.
        Some("traffic" | "ingest") => &[Purpose::Store],
        Some("queries" | "web") => &[Purpose::Ask],
        // Alarms are taken and notices go out without the disk.
        Some("emergency") if name == "emergency/notifier" => &[Purpose::TakeAlarms],
        _ => &[],
    }
}

/// A process through which reports come in.
enum Entrance<'a> {
    Door(&'a str),
    Api,
}

impl<'a> Entrance<'a> {
    fn of(info: &'a ProcessInfo) -> Option<Self> {
        let (_, below_root) = info.path.split_once('/')?;
        match below_root.split_once('/') {
            Some(("doors", door)) => Some(Self::Door(door)),
            None if below_root == "web" => Some(Self::Api),
            _ => None,
        }
    }
}

fn why(info: &ProcessInfo) -> String {
    let state = format!("{} for {} s", info.state.as_str(), info.since.as_secs());
    info.last_exit.as_ref().map_or(state.clone(), |exit| format!("{state}; its last end: {exit}"))
}
