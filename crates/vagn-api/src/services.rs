//! What the web asks of the stages behind it. The handlers know these, and nothing of pools, mailboxes or partitions.

use std::pin::Pin;
use std::sync::Arc;

use vagn_otp::CallError;
use vagn_store::{BBox, Hit, Nearby, NotReady, Vehicle, VehicleIdBuf};

use vagn_emergency::show::feed::Feed;
use vagn_emergency::{Detail, Filter, IncidentId, Page, Request, RequestOutcome, TrailPage};
use vagn_http::problem::{Kind, Problem};

/// An answer on its way.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send + 'a>>;

/// Reads and deletes vehicles, within a deadline of its own.
pub trait Vehicles: Send + Sync {
    /// The nearest vehicles, nearest first.
    fn nearby(&self, question: Nearby) -> Asked<'_, Vec<Hit>>;
    /// Up to `limit` vehicles in a box, in no order.
    fn inside(&self, bbox: BBox, limit: usize) -> Asked<'_, Vec<Vehicle>>;
    /// One vehicle.
    fn one(&self, id: VehicleIdBuf) -> Asked<'_, Option<Vehicle>>;
    /// Forgets one vehicle, in the log too; false when it is not known.
    fn delete(&self, id: VehicleIdBuf) -> Asked<'_, bool>;
}

/// Reads incidents and acts on them, within a deadline of its own.
pub trait Incidents: Send + Sync {
    /// Up to `limit` incidents that `filter` lets through, newest first, older than `after`.
    fn list(&self, filter: Filter, limit: usize, after: Option<IncidentId>) -> Asked<'_, Page>;
    /// One incident, with all that happened to it.
    fn one(&self, id: IncidentId) -> Asked<'_, Option<Detail>>;
    /// Does what a person asks for, and answers when it is on disk.
    fn act(&self, id: IncidentId, deed: Request) -> Asked<'_, RequestOutcome>;
    /// Calls again about every dead letter, because `by` wants it; gives how many there were.
    fn replay(&self, by: Box<str>) -> Asked<'_, u64>;
    /// Up to `limit` entries of the trail after the one numbered `after`; `None` when the store cannot be read.
    fn trail(&self, after: u64, limit: usize) -> Asked<'_, Option<TrailPage>>;
    /// What changes, for those who follow.
    fn feed(&self) -> Arc<Feed>;
    /// Whether this vehicle has a real incident that nobody has resolved.
    fn is_calling_for_help(&self, vehicle_id: &str) -> bool;
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// The queue for such questions is full.
    Full,
    /// The deadline passed.
    Late,
    /// A partition is still being read from disk, or is gone.
    NotReady,
    /// Who had the question crashed, or could not do it.
    Crashed,
}

impl From<NotReady> for Unavailable {
    fn from(NotReady: NotReady) -> Self {
        Self::NotReady
    }
}

impl From<CallError> for Unavailable {
    fn from(err: CallError) -> Self {
        match err {
            CallError::Full => Self::Full,
            CallError::Timeout => Self::Late,
            CallError::Down => Self::NotReady,
            CallError::Crashed => Self::Crashed,
        }
    }
}

impl From<Unavailable> for Problem {
    fn from(unavailable: Unavailable) -> Self {
        let (kind, detail) = match unavailable {
            Unavailable::Full => {
                (Kind::Overloaded, "more questions are waiting than can be answered in time")
            }
            Unavailable::Late => (Kind::DeadlinePassed, "the answer did not come within its deadline"),
            Unavailable::NotReady => (
                Kind::NotReady,
                "a part is not there, and the rest is never shown as if it were all; /readyz on the ops port says which",
            ),
            Unavailable::Crashed => {
                (Kind::Internal, "the part that had this question failed and is restarted")
            }
        };
        Self::new(kind, detail)
    }
}
