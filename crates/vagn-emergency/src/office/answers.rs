//! Answers of the actors of a node to the driver of its trail, whichever life of it runs.

use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tracing::error;
use vagn_cluster::trail::TrailEvent;

use crate::metrics::EmergencyMetrics;
use crate::office::called::CALLED_MAX;
use crate::office::kept_alarms::CHANGES_MAX;
use crate::office::losses::Loss;

/// Answers that the driver waits for. It has one save, one read of kept alarms, one copy and one rest under way, and a few reads for other nodes.
const AWAITED_MAX: usize = 64;

/// Alarms that may come back because they were not kept: all changes that wait, twice.
const NOT_KEPT_MAX: usize = 2 * CHANGES_MAX;

/// Way to the driver that runs now.
pub(crate) struct Answers {
    to: Mutex<Option<Driver>>,
    metrics: Arc<EmergencyMetrics>,
}

/// Two queues, so that a flood of news has no answer dropped that is waited for.
#[derive(Clone)]
struct Driver {
    awaited: mpsc::Sender<TrailEvent>,
    news: mpsc::Sender<TrailEvent>,
}

/// What a driver hears.
pub(crate) struct Heard {
    awaited: mpsc::Receiver<TrailEvent>,
    news: mpsc::Receiver<TrailEvent>,
}

impl Answers {
    pub(crate) fn new(metrics: Arc<EmergencyMetrics>) -> Self {
        Self { to: Mutex::default(), metrics }
    }

    /// Answers this driver from now on, and no earlier one.
    pub(crate) fn open(&self) -> Heard {
        let (to_awaited, awaited) = mpsc::channel(AWAITED_MAX);
        let (to_news, news) = mpsc::channel(NOT_KEPT_MAX + CALLED_MAX);
        *self.to.lock() = Some(Driver { awaited: to_awaited, news: to_news });
        Heard { awaited, news }
    }

    /// Tells the driver something. Without a driver nobody hears it: the next one asks again.
    pub(crate) fn tell(&self, event: TrailEvent) {
        let to = self.to.lock().clone();
        let Some(Err(loss)) = to.map(|to| to.tell(event)) else { return };
        self.metrics.lose(loss);
        error!(what = loss.word(), "the driver of the trail takes no answers");
    }
}

impl Driver {
    /// Tells it something, unless there is no room.
    fn tell(&self, event: TrailEvent) -> Result<(), Loss> {
        let (queue, loss) = match event {
            // Word of what is not kept has places of its own.
            TrailEvent::CalledAlone { .. } if self.news.capacity() <= NOT_KEPT_MAX => {
                return Err(Loss::CallNote);
            }
            TrailEvent::CalledAlone { .. } => (&self.news, Loss::CallNote),
            TrailEvent::NotKept { .. } => (&self.news, Loss::NotKept),
            _ => (&self.awaited, Loss::Answer),
        };
        match queue.try_send(event) {
            Err(mpsc::error::TrySendError::Full(_)) => Err(loss),
            // It has ended: the next one asks again.
            Err(mpsc::error::TrySendError::Closed(_)) | Ok(()) => Ok(()),
        }
    }
}

impl Heard {
    /// Returns the next answer, those that are waited for first.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<TrailEvent>> {
        match self.awaited.poll_recv(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(Some(event)),
            Poll::Ready(None) | Poll::Pending => self.news.poll_recv(cx),
        }
    }

    /// Returns the next answer if there is one now.
    #[cfg(test)]
    pub(crate) fn next(&mut self) -> Option<TrailEvent> {
        self.awaited.try_recv().or_else(|_| self.news.try_recv()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_cluster::trail::AlarmId;
    use vagn_flow::metrics::{MetricRegistry, ReasonLabel};

    #[test]
    fn what_the_driver_waits_for_has_a_place_however_much_it_did_not_hear_yet_and_what_has_none_is_counted() {
        let metrics = EmergencyMetrics::new(&MetricRegistry::new());
        let answers = Answers::new(metrics.clone());
        let mut heard = answers.open();
        for alarm in 0..CALLED_MAX as u128 + 3 {
            answers.tell(TrailEvent::CalledAlone { alarm: AlarmId(alarm), note: Vec::new() });
        }
        answers.tell(TrailEvent::NotKept { alarm: AlarmId(1), bytes: Vec::new() });
        answers.tell(TrailEvent::Saved(Ok(())));
        answers.tell(TrailEvent::Kept { alarms: Vec::new(), is_end: true });
        answers.tell(TrailEvent::CopyTaken(Ok(())));
        answers.tell(TrailEvent::RestRead { rest: Vec::new(), is_end: true });
        let all: Vec<TrailEvent> = std::iter::from_fn(|| heard.next()).collect();
        assert!(matches!(all.first(), Some(TrailEvent::Saved(_))));
        let is_call = |event: &&TrailEvent| matches!(event, TrailEvent::CalledAlone { .. });
        let calls = all.iter().filter(is_call).count();
        assert_eq!((calls, all.len() - calls), (CALLED_MAX, 5));
        let lost =
            |loss: Loss| metrics.office_losses.get_or_create(&ReasonLabel { reason: loss.word() }).get();
        assert_eq!(Loss::ALL.map(lost), [0, 0, 3, 0, 0]);
    }
}
