//! The announcer: tells the log and the feed what has happened to incidents, and which have moved.

use std::sync::Arc;

use parking_lot::Mutex;
use tracing::info;
use vagn_flow::clock::Clock;

use crate::desk::{Announcement, Desk, Moment};
use crate::id::IncidentId;
use crate::record::incident::Incident;
use crate::rules::Rules;
use crate::show::feed::Feed;
use crate::show::view::IncidentView;
use crate::trail::EventKind;

/// Events that the feed keeps, and that a follower may fall behind by.
const FEED_KEPT: usize = 10_000;

/// Most incidents that are announced to have moved or reported in one second; the others follow.
const STIRRED_AT_ONCE: usize = 1_000;

/// Announces changes of incidents.
pub(crate) struct Announcer {
    rules: Arc<Rules>,
    clock: Arc<dyn Clock>,
    feed: Arc<Feed>,
    /// Held while announcing, so that all hear of changes in their order.
    announcing: Mutex<()>,
}

impl Announcer {
    pub(crate) fn new(rules: Arc<Rules>, clock: Arc<dyn Clock>) -> Self {
        let feed = Arc::new(Feed::new(clock.clone(), FEED_KEPT));
        Self { rules, clock, feed, announcing: Mutex::new(()) }
    }

    pub(crate) fn feed(&self) -> Arc<Feed> {
        self.feed.clone()
    }

    /// Announces what has happened at the desk.
    pub(crate) fn announce(&self, desk: &Mutex<Desk>) {
        // A thread that is announcing already looks again when it is done, so this one need not wait for it. The log
        // and the feed are never served under the desk's lock: a log that stands still must hold up no notice.
        while desk.lock().has_happened()
            && let Some(_announcing) = self.announcing.try_lock()
        {
            let happened = desk.lock().take_happened();
            for Announcement { incident, action } in happened {
                self.announce_one(&incident, action, desk);
            }
        }
    }

    fn announce_one(&self, incident: &Incident, action: EventKind, desk: &Mutex<Desk>) {
        let Incident { id, vehicle_id, drill: test, .. } = incident;
        match action {
            EventKind::Opened => info!(incident_id = %id, %vehicle_id, test, "a vehicle calls for help"),
            EventKind::Notified => {} // The log hears of the attempt.
            action => info!(incident_id = %id, %vehicle_id, change = action.as_str(), "an incident changes"),
        }
        let view = self.view(incident, &desk.lock());
        self.feed.publish(action.as_str(), &view);
    }

    /// Announces which incidents have moved or reported since the last time.
    pub(crate) fn announce_stirred(&self, desk: &Mutex<Desk>) {
        let _announcing = self.announcing.lock();
        let stirred = desk.lock().take_stirred(STIRRED_AT_ONCE);
        for id in stirred {
            if let Some(view) = self.view_of(id, desk) {
                self.feed.publish("updated", &view);
            }
        }
    }

    fn view_of(&self, id: IncidentId, desk: &Mutex<Desk>) -> Option<IncidentView> {
        let desk = desk.lock();
        desk.get(id).map(|incident| self.view(incident, &desk))
    }

    fn view(&self, incident: &Incident, desk: &Desk) -> IncidentView {
        IncidentView::new(incident, desk, &self.rules, Moment::now(&*self.clock))
    }
}
