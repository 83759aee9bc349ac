//! Source of notices: whoever owes them to the targets.

use std::time::Duration;

use crate::lane::Lane;
use crate::notify::notice::{EndedNotice, Notice};
use crate::trail::Head;

/// Source of the notices that a notifier sends.
pub(crate) trait NoticeSource: Send + Sync + 'static {
    /// Makes all notices under way due again, under the same keys: their sender has crashed.
    fn hung_up(&self);

    /// Lets in alarms that have waited too long for the actor that should have done it. With `all`, lets in every one.
    fn rescue(&self, all: bool);

    /// Takes the next notice to send. Its attempt begins now.
    fn next_notice(&self) -> Option<Notice>;

    /// Notes what came of a notice.
    fn attempted(&self, ended: EndedNotice);

    /// Returns true when an incident waits for its first notice and may have it.
    fn has_fresh(&self) -> bool;

    /// Returns the time when there may be a notice to send although nothing rings.
    fn wake_at(&self) -> Option<Duration>;

    /// Returns the end of the trail, once it is known.
    fn head(&self) -> Option<Head>;

    /// Announces what has happened.
    fn announce(&self);

    /// Has results written.
    fn ring(&self);

    /// Waits until there may be something new to send.
    fn woken(&self) -> impl Future<Output = ()> + Send;
}

impl NoticeSource for Lane {
    fn hung_up(&self) {
        self.desk.lock().hung_up();
    }

    fn rescue(&self, all: bool) {
        Lane::rescue(self, all);
    }

    fn next_notice(&self) -> Option<Notice> {
        Lane::next_notice(self)
    }

    fn attempted(&self, ended: EndedNotice) {
        Lane::attempted(self, ended);
    }

    fn has_fresh(&self) -> bool {
        self.desk.lock().has_fresh()
    }

    fn wake_at(&self) -> Option<Duration> {
        Lane::wake_at(self)
    }

    fn head(&self) -> Option<Head> {
        Lane::head(self)
    }

    fn announce(&self) {
        Lane::announce(self);
    }

    fn ring(&self) {
        self.signals.ring();
    }

    async fn woken(&self) {
        self.signals.notifier_woken().await;
    }
}
