//! The way to the node. It stays the same while the node is started anew, as the address of an actor does.

use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::Notify;
use vagn_nats::{Handle, Unavailable};

/// Way to the node that is driven now, if one is. Clones are the same way.
pub struct NodeLink<S> {
    now: Arc<RwLock<Current<S>>>,
    begun: Arc<Notify>,
}

struct Current<S> {
    handle: Option<Handle<S>>,
    /// Number of starts so far: what a node counts begins anew with each.
    run: u64,
    /// Number of shards of the data set, once the node of this run knows it.
    shards: Option<u16>,
}

impl<S> Clone for NodeLink<S> {
    fn clone(&self) -> Self {
        Self { now: self.now.clone(), begun: self.begun.clone() }
    }
}

impl<S> Default for NodeLink<S> {
    fn default() -> Self {
        let none = Current { handle: None, run: 0, shards: None };
        Self { now: Arc::new(RwLock::new(none)), begun: Arc::default() }
    }
}

impl<S> NodeLink<S> {
    /// Returns the handle of the node.
    ///
    /// # Errors
    /// [`Unavailable`] while it is being started.
    pub fn handle(&self) -> Result<Handle<S>, Unavailable> {
        self.now().map(|(handle, _)| handle)
    }

    /// Returns the handle of the node, and the number of its run. Asked for one after the other, they might be of two nodes.
    pub(super) fn now(&self) -> Result<(Handle<S>, u64), Unavailable> {
        let now = self.now.read();
        Ok((now.handle.clone().ok_or(Unavailable)?, now.run))
    }

    /// Waits for a node of another run than this one, and returns its handle and its run.
    pub(super) async fn next(&self, before: u64) -> (Handle<S>, u64) {
        loop {
            let begun = self.begun.notified();
            if let Ok((handle, run)) = self.now()
                && run != before
            {
                return (handle, run);
            }
            begun.await;
        }
    }

    /// Returns the number of shards of the data set; `None` until the node knows it.
    pub fn shards(&self) -> Option<u16> {
        self.now.read().shards
    }

    /// Notes what the node of this run knows of the number of shards.
    pub(super) fn note_shards(&self, run: u64, shards: Option<u16>) {
        let mut now = self.now.write();
        if now.run == run && now.handle.is_some() {
            now.shards = shards;
        }
    }

    /// Leads to this node until the returned guard is dropped, or until it leads to another one.
    pub(super) fn lead(&self, handle: Handle<S>) -> Leading<S> {
        let mut now = self.now.write();
        let run = now.run + 1;
        *now = Current { handle: Some(handle), run, shards: None };
        self.begun.notify_waiters();
        Leading { link: self.clone(), run }
    }
}

/// Takes the way away when it is dropped, also by a crash. A thread that hung may drop it when another node is led to: that one stays.
pub(super) struct Leading<S> {
    link: NodeLink<S>,
    run: u64,
}

impl<S> Drop for Leading<S> {
    fn drop(&mut self) {
        let mut now = self.link.now.write();
        if now.run == self.run {
            (now.handle, now.shards) = (None, None);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::VecDeque;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::time::sleep;

    use super::*;
    use vagn_cluster::bytes::{Write, seal};
    use vagn_cluster::{Disk, DiskCommand, DiskPart, Event, NodeId, Settings, ShardId};
    use vagn_nats::{Brokers, Driver, Options};
    use vagn_shard::{FleetShard, ShardSettings};

    /// A disk that has what it tells at the start, and takes nothing.
    pub(in crate::cluster) struct NoDisk(VecDeque<DiskPart>);

    impl Disk for NoDisk {
        fn carry_out(&mut self, _: DiskCommand) {}

        fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<Event> {
            self.0.pop_front().map_or(Poll::Pending, |part| Poll::Ready(Event::Disk(part)))
        }
    }

    /// A node that is led to, and does nothing until it is driven.
    pub(in crate::cluster) fn idle_node(
        link: &NodeLink<FleetShard>,
    ) -> (Driver<FleetShard, NoDisk>, Leading<FleetShard>) {
        node_with(link, [DiskPart::End])
    }

    /// As [`idle_node`], of a data set with so many shards, all of another node.
    pub(in crate::cluster) fn node_of(
        link: &NodeLink<FleetShard>,
        shards: usize,
    ) -> (Driver<FleetShard, NoDisk>, Leading<FleetShard>) {
        node_with(link, [DiskPart::Note(note(shards)), DiskPart::End])
    }

    /// The record of assignment of a data set with so many shards, all of the node 9, as a node keeps it.
    pub(in crate::cluster) fn note(shards: usize) -> Vec<u8> {
        // Format, version, data set, settings, shards.
        let mut note = vec![1];
        [1, 7].into_iter().for_each(|number| note.put_u64(number));
        note.put_long(&ShardSettings { forget_after_ms: 60_000, max_vehicles: 10 }.to_bytes());
        note.put_count(shards);
        for _ in 0..shards {
            // Epoch, base, incarnation, begun, founder; one owner that has all.
            note.put_u32(1);
            [0, 1, 0, 9].into_iter().for_each(|number| note.put_u64(number));
            note.put_count(1);
            note.put_u64(9);
            note.put_u8(1);
        }
        seal(&mut note);
        note
    }

    fn node_with(
        link: &NodeLink<FleetShard>,
        disk: impl IntoIterator<Item = DiskPart>,
    ) -> (Driver<FleetShard, NoDisk>, Leading<FleetShard>) {
        let options = Options::new(&["nats://127.0.0.1:9".to_owned()], "test", NodeId(1), 1).unwrap();
        let settings = Settings::new(NodeId(1), 1);
        let disk = NoDisk(disk.into_iter().collect());
        let (handle, driver) =
            Driver::new(settings, disk, Brokers::connect(options), Arc::new(|| 0), Box::new(drop));
        (driver, link.lead(handle))
    }

    #[tokio::test]
    async fn a_node_that_ends_late_takes_the_way_to_the_next_one_not_away() {
        let link = NodeLink::default();
        let (_first, first_leads) = idle_node(&link);
        let (_second, second_leads) = idle_node(&link);
        link.note_shards(1, Some(3));
        assert_eq!(link.shards(), None, "of a node that is led to no more");
        link.note_shards(2, Some(3));
        drop(first_leads);
        assert_eq!((link.now().map(|(_, run)| run), link.shards()), (Ok(2), Some(3)));
        drop(second_leads);
        assert_eq!((link.now().map(|(_, run)| run), link.shards()), (Err(Unavailable), None));
    }

    #[tokio::test(start_paused = true)]
    async fn the_room_of_a_question_is_held_until_its_answer_is_complete_whoever_waits() {
        let link = NodeLink::default();
        let (driver, _leads) = idle_node(&link);
        let (node, room) = (link.handle().unwrap(), Arc::new(()));
        let within = Duration::from_secs(2);
        let mut asked = Box::pin(node.ask_holding(vec![ShardId(0)], vec![1], within, Box::new(room.clone())));
        assert!(asked.as_mut().now_or_never().is_none());
        drop(asked);
        let watched = async {
            sleep(within / 2).await;
            assert_eq!(Arc::strong_count(&room), 2, "the node gathers answers");
            sleep(within).await;
            assert_eq!(Arc::strong_count(&room), 1, "its time is over");
        };
        tokio::select! {
            () = driver.run() => unreachable!("it goes on for ever"),
            () = watched => {}
        }
        assert!(node.has_ended());
    }
}
