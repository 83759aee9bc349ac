//! The service's way to the trail: alarms, deeds of persons, and looks.

use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot};
use vagn_cluster::trail::{AlarmId, DeedOutcome, TrailNode, TrailRefusal, TrailRepair};
use vagn_cluster::{Moment, NodeId};

use crate::brokers::Brokers;
use crate::counts::Loss;
use crate::handle::Unavailable;

/// Alarms that wait for the driver, which takes them as fast as it works.
pub(super) const ALARMS_MAX: usize = 1_024;

/// Requests of persons that wait for the driver.
pub(super) const REQUESTS_MAX: usize = 256;

/// Outcome of a repair.
pub(super) type RepairResult = Result<TrailRepair, TrailRefusal>;

/// An alarm on its way to the driver.
pub(super) type NewAlarm = (AlarmId, Vec<u8>);

/// Something that the service asks.
pub(super) enum TrailRequest<D> {
    Deed { bytes: Vec<u8>, outcome: oneshot::Sender<DeedOutcome> },
    Lead,
    Known(Vec<NodeId>),
    Stop,
    Repair { ended: oneshot::Sender<RepairResult> },
    Look(Look<D>),
}

/// A look at the node, which sends off what it saw.
pub(super) type Look<D> = Box<dyn FnOnce(&TrailNode<D>, Moment) + Send>;

/// The service's way to the trail's part of a node. Clones go to the same.
pub struct TrailHandle<D> {
    pub(super) alarms: mpsc::Sender<NewAlarm>,
    pub(super) requests: mpsc::Sender<TrailRequest<D>>,
    /// The desk has something new.
    pub(super) changed: Arc<Notify>,
    pub(super) brokers: Brokers,
}

impl<D> Clone for TrailHandle<D> {
    fn clone(&self) -> Self {
        Self {
            alarms: self.alarms.clone(),
            requests: self.requests.clone(),
            changed: self.changed.clone(),
            brokers: self.brokers.clone(),
        }
    }
}

impl<D> TrailHandle<D> {
    /// Hands an alarm over, under the id of its incident; a repeat under the same. [`LetGo`](crate::OfficeCommand::LetGo) tells when its sender may hear
    /// `stored`, and for which bytes.
    ///
    /// # Errors
    /// The alarm: the node takes nothing now, and calls about it only if the caller has that done.
    pub fn alarm(&self, alarm: AlarmId, bytes: Vec<u8>) -> Result<(), Vec<u8>> {
        self.alarms.try_send((alarm, bytes)).map_err(|err| {
            self.brokers.lose(Loss::Busy);
            let (TrySendError::Full((_, bytes)) | TrySendError::Closed((_, bytes))) = err;
            bytes
        })
    }

    /// Has the desk of the leader do what a person wants, and returns the outcome within 2 s.
    ///
    /// # Errors
    /// [`Unavailable`]: it was not asked, or the node has ended, and it may be done.
    pub async fn deed(&self, bytes: Vec<u8>) -> Result<DeedOutcome, Unavailable> {
        let (outcome, comes) = oneshot::channel();
        self.send(TrailRequest::Deed { bytes, outcome })?;
        comes.await.map_err(|_| Unavailable)
    }

    /// Says that the desk may have something new: time has passed, or something came to it by another way than its office.
    pub fn desk_changed(&self) {
        self.changed.notify_one();
    }

    /// Lets this node lead with settings that differ from those of the leader before, as a person says.
    ///
    /// # Errors
    /// [`Unavailable`]: it was not asked.
    pub fn lead(&self) -> Result<(), Unavailable> {
        self.send(TrailRequest::Lead)
    }

    /// Tells the node which nodes own shards, whether they are heard or not: most of those that are known must agree on new settings before one claims with them.
    ///
    /// # Errors
    /// [`Unavailable`]: it was not told.
    pub fn known(&self, owners: Vec<NodeId>) -> Result<(), Unavailable> {
        self.send(TrailRequest::Known(owners))
    }

    /// Tells the node that it stops: its store keeps all alarms of its door, and a leader lets others claim. Last of all: what comes afterwards is not cared for.
    ///
    /// # Errors
    /// [`Unavailable`]: it was not told.
    pub fn say_farewell(&self) -> Result<(), Unavailable> {
        self.send(TrailRequest::Stop)
    }

    /// Has a broken trail begun anew from this node's store, as a person asks; or has this store made a copy of another node's, where the trail is sound
    /// and this one alone had something else. Returns the outcome within 33 s. What other stores had beside it they hand in by themselves.
    ///
    /// # Errors
    /// [`Unavailable`]: it was not asked, or the node has ended. The other error is the reason why nothing was begun.
    pub async fn repair(&self) -> Result<Result<TrailRepair, TrailRefusal>, Unavailable> {
        let (ended, comes) = oneshot::channel();
        self.send(TrailRequest::Repair { ended })?;
        comes.await.map_err(|_| Unavailable)
    }

    /// Looks at the node between two events: for status, readiness and tests. It must be quick.
    ///
    /// # Errors
    /// [`Unavailable`]: the node has too much to do, or has ended.
    pub async fn look<T: Send + 'static>(
        &self,
        deed: impl FnOnce(&TrailNode<D>, Moment) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (seen, comes) = oneshot::channel();
        self.send(TrailRequest::Look(Box::new(move |node, now| {
            seen.send(deed(node, now)).ok();
        })))?;
        comes.await.map_err(|_| Unavailable)
    }

    /// Returns true when alarms are taken no more, because the node is not driven.
    pub fn has_ended(&self) -> bool {
        self.alarms.is_closed()
    }

    fn send(&self, request: TrailRequest<D>) -> Result<(), Unavailable> {
        self.requests.try_send(request).map_err(|_| {
            self.brokers.lose(Loss::Busy);
            Unavailable
        })
    }
}
