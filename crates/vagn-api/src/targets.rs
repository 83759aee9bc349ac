//! `GET /api/v1/targets`: the state of the targets, and what else may keep a call from being answered.
//!
//! Consoles also take it as the sign that the service is there: it is answered from memory, whatever waits elsewhere.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use crate::Api;
use vagn_emergency::show::targets::{TargetReport, is_about_calls};
use vagn_flow::rfc3339::rfc3339;
use vagn_http::answer;
use vagn_http::params::NoParams;

pub(crate) const ROUTE: &str = "/api/v1/targets";

#[derive(Serialize)]
struct TargetsAnswer {
    time: String,
    #[serde(flatten)]
    report: TargetReport,
    /// By name, as in `/readyz` on the ops port.
    warnings: BTreeMap<String, String>,
}

pub(crate) async fn get(State(api): State<Api>, _: NoParams) -> Response {
    let mut warnings = api.readiness.report().warnings;
    warnings.retain(|name, _| is_about_calls(name));
    let (time, report) = (rfc3339(api.clock.now_ms()), api.incidents.targets());
    answer::json("application/json", &TargetsAnswer { time, report, warnings })
}
