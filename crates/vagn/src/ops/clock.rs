//! `POST /clock/accept`: an operator's word that the wall clock is right although it is doubted. `vagn doctor --accept-clock`
//! sends it.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use tracing::warn;

use super::Ops;
use vagn_http::answer;
use vagn_http::problem::{Kind, Problem};

/// Believes the wall clock from now on. Answers with its time, and whether it was doubted.
///
/// The request needs the header `X-Vagn: 1`, which a page of another origin cannot send unasked, and must have no `Origin`: it
/// is for a command, not for a browser.
pub(super) async fn accept(State(ops): State<Ops>, headers: HeaderMap) -> Result<Response, Problem> {
    let is_meant = headers.get("x-vagn").is_some_and(|value| value == "1");
    if !is_meant || headers.contains_key(header::ORIGIN) {
        let remedy = "send the header `X-Vagn: 1` and no `Origin`, or run `vagn doctor --accept-clock`";
        return Err(Problem::new(Kind::Forbidden, remedy));
    }
    let accepted = ops.trust.accept();
    warn!(time = accepted.time, doubted = accepted.doubted, "an operator has accepted the wall clock");
    Ok(answer::json("application/json", &accepted))
}
