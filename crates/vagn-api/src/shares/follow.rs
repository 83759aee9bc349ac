//! The events of a share: place, time and heading of its vehicle, and the end.

use std::pin::Pin;
use std::time::Duration;

use axum::body::Bytes;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};
use vagn_registry::Share;
use vagn_store::{Sight, Sighting, VehicleIdBuf};
use vagn_wire::VehicleId;

use crate::Api;
use crate::sse::{PieceSource, RETRY_MS};
use vagn_flow::rfc3339::rfc3339;
use vagn_http::streams::StreamPlace;

/// Pause between two looks at the vehicle.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Events for one client.
pub(super) struct Following {
    api: Api,
    vehicle: VehicleIdBuf,
    ending: Pin<Box<dyn Future<Output = ()> + Send>>,
    greeting: Option<Bytes>,
    next_look: Instant,
    /// The event that was told last.
    told: Option<Bytes>,
    is_over: bool,
    _place: StreamPlace,
}

/// All that a share tells of its vehicle.
#[derive(Serialize)]
struct PlaceJson {
    lat: f64,
    lon: f64,
    time: String,
    heading_deg: Option<f32>,
}

impl Following {
    /// Follows the vehicle of a share; `None` where its id is none.
    pub(super) fn new(api: Api, share: &Share, place: StreamPlace) -> Option<Self> {
        let vehicle = VehicleId::new(&share.vehicle_id).ok()?.into();
        Some(Self {
            vehicle,
            ending: Box::pin(api.entry.credentials.share_ending(share)),
            greeting: Some(format!("retry: {RETRY_MS}\n\n").into()),
            next_look: Instant::now(),
            told: None,
            is_over: false,
            _place: place,
            api,
        })
    }

    /// Looks where the vehicle is; `None` when it is where it was, not known, or not to be had now.
    async fn look(&mut self) -> Option<Bytes> {
        let found = self.api.vehicles.one(Sight::Exact, self.vehicle).await;
        let event = position(&found.ok()?.value?.sighting);
        (self.told.as_ref() != Some(&event)).then_some(event)
    }
}

impl PieceSource for Following {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        if self.is_over {
            return None;
        }
        loop {
            let next_look = self.next_look;
            tokio::select! {
                biased;
                () = &mut self.ending => {
                    self.is_over = true;
                    return Some(Bytes::from_static(b"event: ended\ndata: {}\n\n"));
                }
                () = sleep_until(next_look) => {}
            }
            let moved = self.look().await;
            self.next_look = Instant::now() + LOOK_EVERY;
            if moved.is_some() {
                self.told.clone_from(&moved);
                return moved;
            }
        }
    }
}

fn position(seen: &Sighting) -> Bytes {
    let place = PlaceJson {
        lat: seen.position.lat(),
        lon: seen.position.lon(),
        time: rfc3339(seen.event_time_ms),
        heading_deg: seen.heading_deg,
    };
    let data = serde_json::to_string(&place).expect("texts and numbers can always be written");
    format!("event: position\ndata: {data}\n\n").into()
}
