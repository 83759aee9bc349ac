//! Queues of all targets: what each is owed.

use std::time::Duration;

use crate::id::IncidentId;
use crate::notify::queue::NoticeQueue;
use crate::notify::target::TargetIndex;
use crate::record::standing::Standing;
use crate::rules::Rules;

/// One queue per target, in the order of the rules.
pub(super) struct TargetQueues(Vec<IncidentQueue>);

type IncidentQueue = NoticeQueue<IncidentId, Standing>;

impl TargetQueues {
    pub(super) fn new(rules: &Rules) -> Self {
        Self(rules.all().map(|turn| NoticeQueue::new(turn.slots, rules.patience)).collect())
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = TargetIndex> + use<> {
        (0..self.0.len()).map(TargetIndex)
    }

    fn of(&mut self, target: TargetIndex) -> &mut IncidentQueue {
        &mut self.0[target.0]
    }

    /// Queues a first notice for when the incident is on disk, at the latest for `until`.
    pub(super) fn hold(&mut self, target: TargetIndex, id: IncidentId, standing: Standing, until: Duration) {
        self.of(target).hold(id, standing, until);
    }

    /// Queues a first notice for now.
    pub(super) fn begin(&mut self, target: TargetIndex, id: IncidentId, standing: Standing) {
        self.of(target).begin(id, standing);
    }

    /// Queues a repeat for `at`.
    pub(super) fn repeat(&mut self, target: TargetIndex, id: IncidentId, standing: Standing, at: Duration) {
        self.of(target).repeat(id, standing, at);
    }

    /// Gives what is owed the place of this standing.
    pub(super) fn rank(&mut self, id: IncidentId, standing: Standing) {
        for queue in &mut self.0 {
            queue.rank(id, standing);
        }
    }

    /// Queues an update for `at`.
    pub(super) fn update(&mut self, target: TargetIndex, id: IncidentId, at: Duration) {
        self.of(target).update(id, at);
    }

    /// Takes the next incident to send a notice about. The notice is under way from here on.
    pub(super) fn next(&mut self, target: TargetIndex, now: Duration) -> Option<IncidentId> {
        self.of(target).next(now)
    }

    /// Queues a notice that failed for its next try at `due`. If the target `asked` for that wait, it is kept.
    pub(super) fn failed(
        &mut self,
        target: TargetIndex,
        id: IncidentId,
        now: Duration,
        due: Duration,
        asked: bool,
    ) {
        self.of(target).failed(id, now, due, asked);
    }

    /// Ends a notice that the target has accepted or refused for good.
    pub(super) fn settled(&mut self, target: TargetIndex, id: IncidentId) {
        self.of(target).settled(id);
    }

    /// Ends what one target is owed.
    pub(super) fn done(&mut self, target: TargetIndex, id: IncidentId) {
        self.of(target).done(id);
    }

    /// Returns true when the target is owed anything, now or later.
    pub(super) fn has(&self, target: TargetIndex, id: IncidentId) -> bool {
        self.0.get(target.0).is_some_and(|queue| queue.has(id))
    }

    /// Returns true when a notice is under way to the target.
    pub(super) fn is_under_way(&self, target: TargetIndex, id: IncidentId) -> bool {
        self.0.get(target.0).is_some_and(|queue| queue.is_under_way(id))
    }

    pub(super) fn due_at(&self, target: TargetIndex, id: IncidentId) -> Option<Duration> {
        self.0.get(target.0)?.due_at(id)
    }

    /// Lets first notices go that were held until the incident is on disk.
    pub(super) fn recorded(&mut self, id: IncidentId) {
        for queue in &mut self.0 {
            queue.recorded(id);
        }
    }

    /// Lets all first notices go: there is no use in waiting for the disk.
    pub(super) fn release(&mut self) {
        for queue in &mut self.0 {
            queue.release();
        }
    }

    /// Ends what any target is owed, even what is under way.
    pub(super) fn done_everywhere(&mut self, id: IncidentId) {
        for queue in &mut self.0 {
            queue.done(id);
        }
    }

    /// Ends what any target is owed, but leaves what is under way.
    pub(super) fn cancel(&mut self, id: IncidentId) {
        for queue in &mut self.0 {
            queue.cancel(id);
        }
    }

    pub(super) fn is_under_way_anywhere(&self, id: IncidentId) -> bool {
        self.0.iter().any(|queue| queue.is_under_way(id))
    }

    /// Makes all that was under way due again.
    pub(super) fn hung_up(&mut self) {
        for queue in &mut self.0 {
            queue.hung_up();
        }
    }

    pub(super) fn has_fresh(&self) -> bool {
        self.0.iter().any(NoticeQueue::has_fresh)
    }

    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.0.iter().filter_map(NoticeQueue::wake_at).min()
    }

    pub(super) fn up(&self) -> Vec<bool> {
        self.0.iter().map(NoticeQueue::is_up).collect()
    }
}
