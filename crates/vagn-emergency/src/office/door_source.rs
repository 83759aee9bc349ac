//! Calls of a door, as a notifier sends them.

use std::sync::Arc;
use std::time::Duration;

use vagn_cluster::trail::{AlarmId, TrailEvent};

use crate::notifier::NoticeSource;
use crate::notify::notice::{EndedNotice, Notice};
use crate::office::door::opens_at;
use crate::office::kept::Change;
use crate::office::room::Room;
use crate::trail::Head;

/// Longest that an alarm waits in the inbox for the actor at the door.
const INBOX_WITHIN: Duration = Duration::from_millis(250);

/// Source of the calls of a door.
pub(crate) struct DoorSource(pub(crate) Arc<Room>);

impl NoticeSource for DoorSource {
    fn hung_up(&self) {
        self.0.calls.hung_up();
    }

    fn rescue(&self, all: bool) {
        let inbox = &self.0.lane.inbox;
        let latest = self.0.lane.clock.monotonic().saturating_sub(INBOX_WITHIN);
        let since = inbox.known_since().into_iter().chain(inbox.others_since()).min();
        // An actor that crashed may have left alarms that are in the inbox no more.
        if all {
            self.0.door.attend_now(&self.0);
            self.0.door.call_all(&self.0);
        } else if since.is_some_and(|since| since <= latest) {
            self.0.door.attend(&self.0);
        }
        self.0.door.wait_no_more(latest, &self.0);
    }

    fn next_notice(&self) -> Option<Notice> {
        self.0.calls.next_notice()
    }

    fn attempted(&self, ended: EndedNotice) {
        self.0.count_attempt(&ended);
        let Some((id, note)) = self.0.calls.attempted(ended) else { return };
        let alarm = AlarmId(id.as_u128());
        // Without it the leader calls once more, under the same key.
        self.0.change_kept(Change::Note { alarm, note: note.clone() });
        self.0.answers.tell(TrailEvent::CalledAlone { alarm, note });
    }

    fn has_fresh(&self) -> bool {
        self.0.calls.has_fresh()
    }

    fn wake_at(&self) -> Option<Duration> {
        let inbox = &self.0.lane.inbox;
        let since = inbox.known_since().into_iter().chain(inbox.others_since()).min();
        let inbox = since.map(|since| (since + INBOX_WITHIN).max(opens_at(&self.0)));
        inbox.into_iter().chain(self.0.calls.wake_at()).min()
    }

    fn head(&self) -> Option<Head> {
        self.0.lane.head()
    }

    fn announce(&self) {
        self.0.lane.announce();
    }

    fn ring(&self) {}

    async fn woken(&self) {
        self.0.calls.woken().await;
    }
}
