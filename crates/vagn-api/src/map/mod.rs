//! The map under the vehicles: what the settings say about it, for the pages, and an operator's own map file.
//!
//! Without either the pages draw the map that is built into them. Like the pages, this is open to all: it says nothing of the
//! fleet.

mod archive;
mod range;
mod style;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use serde::Serialize;

use crate::Api;
pub use archive::{Archive, UnusableArchive};
pub use style::{BadStyleUrl, StyleUrl};
use vagn_flow::proof::DeviceMode;
use vagn_http::answer;
use vagn_http::params::NoParams;
use vagn_http::problem::{Kind, Problem};
use vagn_http::server::Liveness;

pub(crate) const SETTINGS_ROUTE: &str = "/map/settings.json";
pub(crate) const ARCHIVE_ROUTE: &str = "/map/base.pmtiles";

/// The map under the vehicles, as far as it is not the built-in one.
#[derive(Debug, Default)]
pub struct Basemap {
    /// A map style, which the pages load.
    pub style: Option<StyleUrl>,
    /// A map file, which the service gives out.
    pub archive: Option<Archive>,
}

#[derive(Serialize)]
struct SettingsJson<'a> {
    version: &'static str,
    style_url: Option<&'a str>,
    pmtiles: Option<&'static str>,
    /// Port at which a report in clear is taken, for the line that the empty map gives to copy.
    udp: Option<u16>,
}

/// Tells the pages which version this is, what to draw the vehicles on, and where a first report can go.
pub(crate) async fn settings(State(api): State<Api>, _: NoParams) -> Response {
    let settings = SettingsJson {
        version: env!("CARGO_PKG_VERSION"),
        style_url: api.basemap.style.as_ref().map(StyleUrl::as_str),
        pmtiles: api.basemap.archive.as_ref().map(|_| ARCHIVE_ROUTE),
        udp: api.udp_port.filter(|_| api.intake.guard().mode() != DeviceMode::Required),
    };
    answer::json("application/json", &settings)
}

/// Gives out the map file, or the range of its bytes that is asked for.
pub(crate) async fn archive(
    State(api): State<Api>,
    method: Method,
    asked: HeaderMap,
    liveness: Option<Extension<Liveness>>,
    _: NoParams,
) -> Result<Response, Problem> {
    let Some(archive) = &api.basemap.archive else {
        return Err(Problem::new(Kind::NotFound, "no map file is named in the setting map.pmtiles"));
    };
    archive.answer(&method, &asked, liveness.map(|Extension(liveness)| liveness)).await
}
