//! Results of deeds: what came of them, as this node has applied it.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::record::group::DeedResult;

/// Latest results that are remembered. Who asked looks within seconds.
const RESULTS_KEPT: usize = 1_024;

/// Results of the latest deeds.
#[derive(Default)]
pub(crate) struct Results {
    latest: Mutex<VecDeque<(u64, DeedResult)>>,
    came: Notify,
}

impl Results {
    /// Notes results that were applied.
    pub(crate) fn note(&self, results: &[(u64, DeedResult)]) {
        if results.is_empty() {
            return;
        }
        let mut latest = self.latest.lock();
        latest.extend(results);
        let surplus = latest.len().saturating_sub(RESULTS_KEPT);
        latest.drain(..surplus);
        drop(latest);
        self.came.notify_waiters();
    }

    /// Waits for the result of a deed; `None` if it is not applied here in time.
    pub(crate) async fn of(&self, tag: u64, within: Duration) -> Option<DeedResult> {
        let find = || self.latest.lock().iter().find(|(known, _)| *known == tag).map(|(_, result)| *result);
        let wait = async {
            loop {
                let came = self.came.notified();
                tokio::pin!(came);
                came.as_mut().enable();
                if let Some(result) = find() {
                    return result;
                }
                came.await;
            }
        };
        timeout(within, wait).await.ok()
    }
}
