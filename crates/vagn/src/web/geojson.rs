//! Vehicles as GeoJSON (RFC 7946), each with how old its position is.

use axum::response::Response;
use serde::Serialize;
use vagn_store::{Hit, Vehicle};

use super::answer;
use crate::rfc3339::rfc3339;

/// The media type of every answer made here.
pub const MEDIA_TYPE: &str = "application/geo+json";

#[derive(Serialize)]
struct Collection<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    /// When the question was answered.
    time: String,
    /// How many features there are.
    returned: usize,
    /// Whether there are more than were let through or looked at.
    truncated: bool,
    features: Vec<Feature<'a>>,
}

#[derive(Serialize)]
struct Feature<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    geometry: Point,
    properties: Properties,
}

#[derive(Serialize)]
struct Point {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Longitude first.
    coordinates: [f64; 2],
}

#[derive(Serialize)]
struct Properties {
    #[serde(skip_serializing_if = "Option::is_none")]
    distance_m: Option<f64>,
    age_s: f64,
    time: String,
    speed_mps: Option<f32>,
    heading_deg: Option<f32>,
    /// Of a call for help or of a test; the sighting does not know which.
    emergency_flag: bool,
}

impl<'a> Feature<'a> {
    fn new(vehicle: &'a Vehicle, distance_m: Option<f64>, now_ms: i64) -> Self {
        let seen = &vehicle.sighting;
        let properties = Properties {
            distance_m,
            age_s: now_ms.saturating_sub(seen.event_time_ms) as f64 / 1e3,
            time: rfc3339(seen.event_time_ms),
            speed_mps: seen.speed_mps,
            heading_deg: seen.heading_deg,
            emergency_flag: seen.emergency,
        };
        let coordinates = [seen.position.lon(), seen.position.lat()];
        Self { kind: "Feature", id: &vehicle.id, geometry: Point { kind: "Point", coordinates }, properties }
    }
}

/// Vehicles near a place, nearest first; `truncated` says that there may be more of those asked for.
pub fn nearby(hits: &[Hit], truncated: bool, now_ms: i64) -> Response {
    let features = hits.iter().map(|hit| Feature::new(&hit.vehicle, Some(hit.distance_m), now_ms));
    collection(features.collect(), truncated, now_ms)
}

/// The first `limit` of `vehicles`; says whether there are more.
pub fn vehicles(vehicles: &[Vehicle], limit: usize, now_ms: i64) -> Response {
    let features = vehicles.iter().take(limit).map(|vehicle| Feature::new(vehicle, None, now_ms));
    collection(features.collect(), vehicles.len() > limit, now_ms)
}

/// One vehicle.
pub fn vehicle(vehicle: &Vehicle, now_ms: i64) -> Response {
    answer::json(MEDIA_TYPE, &Feature::new(vehicle, None, now_ms))
}

fn collection(features: Vec<Feature<'_>>, truncated: bool, now_ms: i64) -> Response {
    let time = rfc3339(now_ms);
    let collection =
        Collection { kind: "FeatureCollection", time, returned: features.len(), truncated, features };
    answer::json(MEDIA_TYPE, &collection)
}
