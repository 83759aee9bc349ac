//! Answers of the actors of a node to the driver of its trail, whichever life of it runs.

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tracing::error;
use vagn_cluster::trail::TrailEvent;

/// Answers that may wait: one to each alarm that is given to be kept, and a few more.
const WAITING_MAX: usize = 2 * super::kept_alarms::CHANGES_MAX;

/// Way to the driver that runs now.
#[derive(Default)]
pub(crate) struct Answers {
    to: Mutex<Option<mpsc::Sender<TrailEvent>>>,
}

impl Answers {
    /// Answers this receiver from now on, and no earlier one.
    pub(crate) fn open(&self) -> mpsc::Receiver<TrailEvent> {
        let (to, answers) = mpsc::channel(WAITING_MAX);
        *self.to.lock() = Some(to);
        answers
    }

    /// Tells the driver something. Without a driver nobody hears it: the next one asks again.
    pub(crate) fn tell(&self, event: TrailEvent) {
        let to = self.to.lock().clone();
        if let Some(to) = to
            && let Err(mpsc::error::TrySendError::Full(_)) = to.try_send(event)
        {
            error!("the driver of the trail takes no answers");
        }
    }
}
