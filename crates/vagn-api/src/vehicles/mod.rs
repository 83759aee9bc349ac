//! `/api/v1/vehicles` and `/`: the live fleet.

pub mod bbox;
pub mod geojson;
mod go_json;
mod json;
pub mod legacy;
pub mod nearby;
pub mod one;
pub mod params;
