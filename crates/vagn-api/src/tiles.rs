//! `/tiles/{z}/{x}/{y}`: the live fleet as tiles for maps, and `/tiles.json`, which describes them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::time::timeout;
use vagn_live::{Format, Tile, TileKey, VEHICLES_FROM};
use vagn_store::Sight;

use crate::Api;
use crate::services::Unavailable;
use crate::sight::Seeing;
use vagn_http::params::NoParams;
use vagn_http::problem::{Kind, Problem};
use vagn_http::reached::Reached;
use vagn_http::{answer, etag};

pub(crate) const ROUTE: &str = "/tiles/{z}/{x}/{y}";
pub(crate) const JSON_ROUTE: &str = "/tiles.json";

/// Longest that a tile is waited for: the keeper's first look at the fleet and a question, one after the other.
const WITHIN: Duration = Duration::from_secs(5);

/// Latitude of the northern edge of the map.
const EDGE: f64 = 85.051_128_779_806_59;

pub(crate) async fn get(
    State(api): State<Api>,
    Seeing(sight): Seeing,
    InPath(InKey { format, tile }): InPath,
    headers: HeaderMap,
    _: NoParams,
) -> Result<Response, Problem> {
    let key = TileKey { format, tile, sight };
    let make = async |job: vagn_live::Job| api.vehicles.look("tile", move |fleet| job.make(fleet)).await;
    let made = async { timeout(WITHIN, api.tiles.get(key, make)).await.unwrap_or(Err(Unavailable::Late)) };
    let content = api.ask(ROUTE, |content| content.bytes.len(), made).await?;
    if content.bytes.is_empty() {
        return Ok(with_cache(StatusCode::NO_CONTENT.into_response(), None));
    }
    let etag = etag::of(&content.hash);
    if etag::is_known(&headers, &etag) {
        api.tiles.count_not_modified();
        return Ok(with_cache(StatusCode::NOT_MODIFIED.into_response(), Some(etag)));
    }
    api.tiles.count_sent(&content);
    let mut response = Response::new(Body::from(content.bytes.clone()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(key.format)));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(with_cache(response, Some(etag)))
}

fn media_type(format: Format) -> &'static str {
    match format {
        Format::Mvt => "application/vnd.mapbox-vector-tile",
        Format::Bin => "application/octet-stream",
    }
}

/// Lets the client's own cache keep an answer, if it asks each time whether it still holds.
fn with_cache(mut response: Response, etag: Option<HeaderValue>) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Some(etag) = etag {
        headers.insert(header::ETAG, etag);
    }
    response
}

/// The tile that a path names.
pub(crate) struct InPath(InKey);

/// Format and place of a tile.
struct InKey {
    format: Format,
    tile: Tile,
}

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String, String)>::from_request_parts(parts, state).await;
        let Path((z, x, y)) = path
            .map_err(|err| Problem::new(Kind::InvalidParameter, format!("the path cannot be read: {err}")))?;
        key(&z, &x, &y).map(Self)
    }
}

/// Reads zoom, column, and row with the ending of the format.
fn key(z: &str, x: &str, y: &str) -> Result<InKey, Problem> {
    let (y, format) = match (y.strip_suffix(".mvt"), y.strip_suffix(".bin")) {
        (Some(y), _) => (y, Format::Mvt),
        (_, Some(y)) => (y, Format::Bin),
        _ => return Err(Problem::new(Kind::NotFound, "a tile ends in .mvt or .bin")),
    };
    let (z, x, y) = (number("z", z)?, number("x", x)?, number("y", y)?);
    let tile = u8::try_from(z).ok().and_then(|z| Tile::new(z, x, y)).ok_or_else(|| {
        let most = Tile::ZOOM_MAX;
        Problem::new(
            Kind::NotFound,
            format!("there is no tile {z}/{x}/{y}: z is at most {most}, and x and y are less than 2 to the power of z"),
        )
    })?;
    if format == Format::Bin && tile.zoom() < VEHICLES_FROM {
        let why = format!("binary tiles begin at zoom {VEHICLES_FROM}; up to there ask for .mvt");
        return Err(Problem::new(Kind::NotFound, why));
    }
    Ok(InKey { format, tile })
}

fn number(name: &'static str, text: &str) -> Result<u32, Problem> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_plain);
    number.ok_or_else(|| vagn_http::params::bad(name, text, "a whole number"))
}

const EXACT: &str =
    "The live fleet, made anew every second: clusters up to zoom 10, vehicles from zoom 11 on.";
const COARSE: &str = "The live fleet at approximate places, on a grid of 0.001 degrees, made anew every second: clusters up \
                      to zoom 10, vehicles from zoom 11 on.";

/// Returns the properties that features have, with their meaning.
fn fields(sight: Sight) -> serde_json::Value {
    let (n, id) = ("Number of vehicles in the cluster", "Id of the vehicle");
    match sight {
        Sight::Exact => json!({
            "n": n,
            "emergency": "Number of vehicles in the cluster with an open real incident; true for such a vehicle",
            "id": id,
            "heading": "Heading in whole degrees, clockwise from north",
        }),
        Sight::Coarse => json!({ "n": n, "id": id }),
    }
}

/// Describes the tiles, as TileJSON 3.0.0. Their address is a whole one, because clients of TileJSON take no relative ones.
pub(crate) async fn describe(
    Seeing(sight): Seeing,
    reached: Reached,
    uri: Uri,
    headers: HeaderMap,
    _: NoParams,
) -> Response {
    let description = json!({
        "tilejson": "3.0.0",
        "name": "Vagn",
        "description": match sight {
            Sight::Exact => EXACT,
            Sight::Coarse => COARSE,
        },
        "version": env!("CARGO_PKG_VERSION"),
        "scheme": "xyz",
        "tiles": [format!("{}/tiles/{{z}}/{{x}}/{{y}}.mvt", reached.origin(&uri, &headers))],
        "minzoom": 0,
        "maxzoom": Tile::ZOOM_MAX,
        "bounds": [-180.0, -EDGE, 180.0, EDGE],
        "vector_layers": [{
            "id": "vehicles",
            "description": "Clusters have n; single vehicles have id.",
            "minzoom": 0,
            "maxzoom": Tile::ZOOM_MAX,
            "fields": fields(sight),
        }],
    });
    answer::json("application/json", &description)
}
