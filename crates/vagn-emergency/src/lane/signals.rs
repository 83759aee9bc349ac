//! Signals: they wake the notifier and the incidents actor when there is something to do.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use vagn_otp::Recipient;

/// Asks the incidents actor to let alarms in and to record what is urgent. The reply comes when all that had arrived
/// before is let in.
pub(crate) struct Attend;

/// Signals of the lane.
#[derive(Default)]
pub(crate) struct Signals {
    notifier: Notify,
    incidents: OnceLock<Recipient<Attend>>,
    /// The incidents actor has been told, and has not begun.
    told: AtomicBool,
}

impl Signals {
    /// Tells this actor from now on. Only the first counts.
    pub(crate) fn connect(&self, incidents: impl FnOnce() -> Recipient<Attend>) {
        self.incidents.get_or_init(incidents);
    }

    /// Wakes the notifier, and the incidents actor unless it has been told already.
    pub(crate) fn ring(&self) {
        self.notifier.notify_one();
        if !self.told.swap(true, Ordering::AcqRel) {
            let told = self.incidents.get().is_some_and(|incidents| incidents.try_tell(Attend).is_ok());
            if !told {
                // Its mailbox is full, or it is being restarted: the next ring has to try again.
                self.begun();
            }
        }
    }

    /// The incidents actor begins to look: what comes from here on must ring again.
    pub(crate) fn begun(&self) {
        self.told.store(false, Ordering::Release);
    }

    /// Wakes the notifier.
    pub(crate) fn wake_notifier(&self) {
        self.notifier.notify_one();
    }

    /// Waits until the notifier is woken.
    pub(crate) async fn notifier_woken(&self) {
        self.notifier.notified().await;
    }
}
