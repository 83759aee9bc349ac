//! The way to the node. It stays the same while the node is started anew, as the address of an actor does.

use std::sync::Arc;

use parking_lot::RwLock;
use vagn_nats::{Handle, Unavailable};

/// Way to the node that is driven now, if one is. Clones are the same way.
pub struct NodeLink<S> {
    now: Arc<RwLock<Current<S>>>,
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
        Self { now: self.now.clone() }
    }
}

impl<S> Default for NodeLink<S> {
    fn default() -> Self {
        Self { now: Arc::new(RwLock::new(Current { handle: None, run: 0, shards: None })) }
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
    use std::task::{Context, Poll};

    use super::*;
    use vagn_cluster::{Disk, DiskCommand, Event, NodeId, Settings};
    use vagn_nats::{Brokers, Driver, Options};
    use vagn_shard::FleetShard;

    /// The disk of a node that has told all, where it tells anything.
    pub(in crate::cluster) struct NoDisk {
        tells: bool,
    }

    impl Disk for NoDisk {
        fn carry_out(&mut self, _: DiskCommand) {}

        fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<Event> {
            match std::mem::take(&mut self.tells) {
                true => Poll::Ready(Event::Disk(vagn_cluster::DiskPart::End)),
                false => Poll::Pending,
            }
        }
    }

    /// A node that is led to, and does nothing until it is driven.
    pub(in crate::cluster) fn idle_node(
        link: &NodeLink<FleetShard>,
    ) -> (Driver<FleetShard, NoDisk>, Leading<FleetShard>) {
        let options = Options::new(&["nats://127.0.0.1:9".to_owned()], "test", NodeId(1), 1).unwrap();
        let settings = Settings::new(NodeId(1), 1);
        let disk = NoDisk { tells: true };
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
}
