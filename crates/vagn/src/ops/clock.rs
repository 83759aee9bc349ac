//! `POST /clock/accept`: an operator's word that the wall clock is right although it is doubted. `vagn doctor --accept-clock`
//! sends it.

use axum::extract::State;
use axum::response::Response;
use tracing::warn;

use super::Ops;
use vagn_http::answer;

/// Believes the wall clock from now on. Answers with its time, and whether it was doubted.
pub(super) async fn accept(State(ops): State<Ops>) -> Response {
    let accepted = ops.trust.accept();
    warn!(time = accepted.time, doubted = accepted.doubted, "an operator has accepted the wall clock");
    answer::json("application/json", &accepted)
}
