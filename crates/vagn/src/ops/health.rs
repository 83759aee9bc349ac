//! `/healthz` tells that the process answers. `/readyz` tells that the service can be used, or what is missing, with warnings.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use vagn_otp::{ProcessInfo, ProcessState};

use super::Ops;
use vagn_http::answer;

/// Answers always. As long as it does, there is no reason to kill the process.
pub(super) async fn alive() -> Response {
    answer::live("text/plain; charset=utf-8", b"ok\n".to_vec())
}

/// Answers 200 when nothing is missing, and 503 otherwise, with a JSON body of the same form.
pub(super) async fn ready(State(ops): State<Ops>) -> Response {
    let mut report = ops.readiness.report();
    match ops.processes.get() {
        Some(processes) => report.missing.extend(processes.list().iter().filter_map(closed)),
        None => report.missing.extend([("doors".to_owned(), "the service is still starting".to_owned())]),
    }
    report.ready = report.missing.is_empty();
    let mut response = answer::json("application/json", &report);
    if !report.ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// Returns the name of a door or of the API that is not open, and the reason. Their supervisors start them again with growing
/// pauses, without end, so nothing else would report a door that stays closed.
fn closed(info: &ProcessInfo) -> Option<(String, String)> {
    let (_, below_root) = info.path.split_once('/')?;
    let name = match below_root.split_once('/') {
        Some(("doors", door)) => format!("door {door}"),
        None if below_root == "web" => "web".to_owned(),
        _ => return None,
    };
    (info.state != ProcessState::Running).then(|| (name, why(info)))
}

fn why(info: &ProcessInfo) -> String {
    let state = format!("{} for {} s", info.state.as_str(), info.since.as_secs());
    info.last_exit.as_ref().map_or(state.clone(), |exit| format!("{state}; its last end: {exit}"))
}
