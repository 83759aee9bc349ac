//! `/api/v1/shares`: links by which anybody may follow one vehicle for a while, and what such a link shows.
//!
//! The secret in a link is the only one that may stand in a URL. It is kept as a digest, and written to no log.

mod follow;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::info;
use vagn_registry::Share;
use vagn_wire::VehicleId;

use crate::Api;
use crate::incidents::fields::Fields;
use crate::sse::{self, HEARTBEAT};
use follow::Following;
use vagn_flow::metrics::MetricRegistry;
use vagn_flow::rfc3339::rfc3339;
use vagn_http::answer;
use vagn_http::caller::Caller;
use vagn_http::params::{InPath, NoParams};
use vagn_http::principal::Principal;
use vagn_http::problem::{Kind, Problem};
use vagn_http::reached::Reached;
use vagn_http::server::Liveness;
use vagn_http::streams::{self, Holder, StreamPlaces};

pub(crate) const ROUTE: &str = "/api/v1/shares";
pub(crate) const ONE_ROUTE: &str = "/api/v1/shares/{number}";
pub(crate) const EVENTS_ROUTE: &str = "/s/{secret}/events";

/// Most streams of shares at a time, for one address, and of one share.
const STREAMS_MAX: usize = 256;
const ADDRESS_MAX: usize = 32;
const SHARE_MAX: usize = 64;

/// Longest id of a vehicle, in characters.
const VEHICLE_MAX: usize = 64;

/// Streams of what is shared.
pub struct ShareStreams {
    places: Arc<StreamPlaces>,
    heartbeat: Duration,
}

impl ShareStreams {
    /// As many as one service has, with gauges of how many are open.
    pub fn shown(registry: &MetricRegistry) -> Self {
        let gauges = streams::gauges(registry, "share_streams", "shares", STREAMS_MAX);
        let places = StreamPlaces::shown(STREAMS_MAX, ADDRESS_MAX, SHARE_MAX, gauges);
        Self { places, heartbeat: HEARTBEAT }
    }
}

impl Default for ShareStreams {
    fn default() -> Self {
        Self { places: StreamPlaces::new(STREAMS_MAX, ADDRESS_MAX, SHARE_MAX), heartbeat: HEARTBEAT }
    }
}

#[derive(Serialize)]
struct ShareJson<'a> {
    number: u64,
    vehicle: &'a str,
    by: &'a str,
    added: String,
    expires: String,
    /// The link, which is known only when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

#[derive(Serialize)]
struct SharesJson<'a> {
    shares: Vec<ShareJson<'a>>,
}

impl<'a> ShareJson<'a> {
    fn new(share: &'a Share, url: Option<String>) -> Self {
        Self {
            number: share.number,
            vehicle: &share.vehicle_id,
            by: &share.by,
            added: rfc3339(share.added_ms),
            expires: rfc3339(share.expires_ms),
            url,
        }
    }
}

/// Makes a share. Its link is in the answer and nowhere else.
pub(crate) async fn add(
    State(api): State<Api>,
    reached: Reached,
    uri: Uri,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Problem> {
    fields.only(&["vehicle", "expires", "by"])?;
    let vehicle = fields.part("vehicle", VEHICLE_MAX)?.unwrap_or_default();
    let vehicle =
        VehicleId::new(&vehicle).map_err(|reject| Problem::field("/vehicle", reject.to_string()))?;
    let expires_ms = fields.end_ms("expires", api.clock.now_ms())?;
    let by = if fields.has("by") { fields.by()? } else { fields.principal().name().into() };
    let made = api.entry.credentials.add_share(vehicle.as_str(), &by, expires_ms).await?;
    info!(number = made.share.number, %by, expires = rfc3339(expires_ms), "a vehicle is shared");
    let origin = match &*api.entry.public_origin {
        "" => reached.origin(&uri, &headers),
        public => public.to_owned(),
    };
    let url = format!("{origin}/s/{}", made.secret.text());
    let answer = answer::json("application/json", &ShareJson::new(&made.share, Some(url)));
    Ok((StatusCode::CREATED, answer).into_response())
}

/// Lists the shares that last.
pub(crate) async fn list(State(api): State<Api>, _: NoParams) -> Response {
    let shares = api.entry.credentials.shares();
    let shares = shares.iter().map(|share| ShareJson::new(share, None)).collect();
    answer::json("application/json", &SharesJson { shares })
}

pub(crate) async fn revoke(
    State(api): State<Api>,
    principal: Principal,
    InPath(number): InPath,
    _: NoParams,
) -> Result<Response, Problem> {
    let unknown = || Problem::new(Kind::NotFound, format!("no share has the number {number:?}"));
    let number = number.parse().map_err(|_| unknown())?;
    if !api.entry.credentials.revoke_share(number).await? {
        return Err(unknown());
    }
    info!(number, by = principal.name(), "a share is revoked");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Tells where the vehicle of a share is, as often as it moves, until the share ends.
pub(crate) async fn events(
    State(api): State<Api>,
    caller: Caller,
    liveness: Option<Extension<Liveness>>,
    InPath(secret): InPath,
    _: NoParams,
) -> Result<Response, Problem> {
    let share = find(&api, &secret)?;
    let place = api.shares.places.take(&caller, Some(Holder::Share(share.number)))?;
    api.entry.note_share(share.number, StatusCode::OK.as_u16(), &caller);
    let following = Following::new(api.clone(), &share, place)
        .ok_or_else(|| Problem::new(Kind::NotFound, "this link leads to no vehicle"))?;
    Ok(sse::answer(following, api.shares.heartbeat, liveness.map(|Extension(liveness)| liveness)))
}

fn find(api: &Api, secret: &str) -> Result<Arc<Share>, Problem> {
    let ended = || Problem::new(Kind::NotFound, "this link is not known, or has ended");
    api.entry.credentials.share(secret).ok_or_else(ended)
}
