//! The live fleet: the nearest vehicles, those in a box, one of them, what changes, and `/` as the original has it.

pub(crate) mod bbox;
#[cfg(test)]
mod fuzz;
pub mod geojson;
mod go_json;
mod json;
pub mod legacy;
pub(crate) mod nearby;
pub(crate) mod one;
pub(crate) mod params;
pub(crate) mod partial;
pub(crate) mod stream;
