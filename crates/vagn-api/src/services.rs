//! Questions of the API to the stages behind it. The handlers know these traits, and nothing of pools, mailboxes or
//! partitions.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;

use vagn_otp::CallError;
use vagn_store::{BBox, Fleet, Hit, Nearby, NotReady, Sight, Vehicle, VehicleIdBuf, Whole};
use vagn_wire::Oddity;

use vagn_emergency::show::feed::Feed;
use vagn_emergency::show::targets::TargetReport;
use vagn_emergency::{
    DeedError, Detail, Filter, IncidentId, Page, Raise, Raised, Request, RequestOutcome, ResolvedMany,
    Selection, TrailPage,
};
use vagn_http::problem::{Kind, Problem};

/// A question that is being answered.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send + 'a>>;

/// What a look at the fleet has found, of the type that the look gives.
pub type Found = Box<dyn Any + Send>;

/// A look at the fleet. It can be done a second time, by another worker, when the first one crashes.
pub type Look = Arc<dyn Fn(&Fleet) -> Result<Found, NotReady> + Send + Sync>;

/// Reads and deletes vehicles, within a deadline of its own.
pub trait Vehicles: Send + Sync {
    /// Returns the nearest vehicles of the whole fleet, wherever its shards are; see [`Sight::nearby`].
    fn nearest(&self, sight: Sight, nearby: Nearby) -> Asked<'_, Whole<Vec<Hit>>>;
    /// Returns up to `limit` vehicles of the whole fleet in a box; see [`Sight::bbox`].
    fn inside(&self, sight: Sight, bbox: BBox, limit: usize) -> Asked<'_, Whole<Vec<Vehicle>>>;
    /// Returns one vehicle. If it is not known and a shard did not answer, that one would have it.
    fn one(&self, sight: Sight, id: VehicleIdBuf) -> Asked<'_, Whole<Option<Vehicle>>>;
    /// Looks at what this node has of the fleet, on a thread where it may take its time. `name` is for the log.
    fn find(&self, name: &'static str, look: Look) -> Asked<'_, Found>;
    /// Forgets one vehicle, in the log too; false when it is not known.
    fn delete(&self, id: VehicleIdBuf) -> Asked<'_, bool>;
    /// Returns what was odd about the reports of a vehicle in the last day.
    fn odd(&self, id: &VehicleIdBuf) -> Vec<Odd>;
}

/// Something odd about the reports of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Odd {
    /// What is odd.
    pub oddity: Oddity,
    /// Arrival of the first report with it, ms since 1970.
    pub since_ms: i64,
    /// Arrival of the last report with it, ms since 1970.
    pub last_ms: i64,
    /// Number of reports with it.
    pub reports: u64,
}

impl dyn Vehicles {
    /// Looks at what this node has of the fleet. A new look needs nothing but a closure here: all that lies between passes it on.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        name: &'static str,
        look: impl Fn(&Fleet) -> Result<T, NotReady> + Send + Sync + 'static,
    ) -> Result<T, Unavailable> {
        let look: Look = Arc::new(move |fleet| Ok(Box::new(look(fleet)?) as Found));
        let found = self.find(name, look).await?;
        Ok(*found.downcast().expect("the answer is what the look has found"))
    }
}

/// Reads incidents and passes on requests about them, within a deadline of its own.
pub trait Incidents: Send + Sync {
    /// Lists up to `limit` incidents that match `filter`, newest first, older than `after`.
    fn list(&self, filter: Filter, limit: usize, after: Option<IncidentId>) -> Asked<'_, Page>;
    /// Finds one incident, with its ledger and its trail.
    fn one(&self, id: IncidentId) -> Asked<'_, Option<Detail>>;
    /// Does what a person requests, and answers when it is on disk.
    fn request(&self, id: IncidentId, request: Request) -> Asked<'_, RequestOutcome>;
    /// Makes a real incident of a call that could not be proved, and answers when it is on disk.
    fn raise(&self, raise: Raise) -> Asked<'_, Raised>;
    /// Sends every dead letter again at the request of `by`; counts them.
    fn replay(&self, by: Box<str>) -> Asked<'_, u64>;
    /// Resolves incidents that `selection` chooses, as many as fit into the deadline; with `dry_run` it only counts them.
    fn resolve_many(
        &self,
        selection: Selection,
        by: Box<str>,
        note: Box<str>,
        dry_run: bool,
    ) -> Asked<'_, ResolvedMany>;
    /// Reads up to `limit` entries of the trail after the one numbered `after`; `None` when the store cannot be read.
    fn trail(&self, after: u64, limit: usize) -> Asked<'_, Option<TrailPage>>;
    /// Returns the feed of changes.
    fn feed(&self) -> Arc<Feed>;
    /// Returns the state of the targets, at once.
    fn targets(&self) -> TargetReport;
    /// Returns true if this vehicle has a real incident that is not resolved.
    fn has_open_incident(&self, vehicle_id: &str) -> bool;
}

/// Reason why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// The queue for such questions is full.
    Full,
    /// The deadline passed.
    Late,
    /// A partition is still being read from disk, or is gone.
    NotReady,
    /// The part that had the question crashed, or could not do it.
    Crashed,
    /// No leader of the cluster recorded it in time. It may be done all the same.
    NoLeader,
    /// The leader of the cluster does not have the incident yet.
    NotYet,
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

impl From<DeedError> for Unavailable {
    fn from(err: DeedError) -> Self {
        match err {
            DeedError::Call(err) => err.into(),
            DeedError::NoLeader => Self::NoLeader,
            DeedError::NotYet => Self::NotYet,
        }
    }
}

impl From<Unavailable> for Problem {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::Full => {
                Self::new(Kind::Overloaded, "more questions are waiting than can be answered in time")
            }
            Unavailable::Late => {
                Self::new(Kind::DeadlinePassed, "the answer did not come within its deadline")
            }
            Unavailable::NotReady => Self::new(
                Kind::NotReady,
                "a part of the fleet is missing, and the rest is never shown as if it were all; \
                 /readyz on the ops port says which",
            ),
            Unavailable::NoLeader => Self::new(
                Kind::InDoubt,
                "no node of the cluster could record it in time; look whether it is done before you try again",
            ),
            Unavailable::NotYet => Self::new(
                Kind::NotReady,
                "only the door of this node knows the incident so far, and the leader of the cluster does not have it yet; nothing was done",
            ),
            Unavailable::Crashed => {
                Self::new(Kind::Internal, "the part that had this question failed and is restarted")
            }
        }
    }
}
