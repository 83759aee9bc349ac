//! Sender: the targets with their clients. It sends a notice once, and keeps nothing else.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use vagn_flow::clock::Clock;

use crate::notify::client::{self, NoClient, NoticeClient};
use crate::notify::notice::{EndedNotice, Notice};
use crate::notify::target::{Target, TargetIndex, Targets};
use crate::record::attempt::Outcome;
use crate::trail::Head;

/// Another way of notices to their targets: it says what came of each.
pub(crate) type Messenger = Box<dyn Fn(Notice) -> BoxFuture<'static, EndedNotice> + Send + Sync>;

/// Sender of notices to all targets.
pub(crate) struct NoticeSender {
    /// In the order of [`TargetIndex`].
    targets: Vec<TargetClient>,
    clock: Arc<dyn Clock>,
    /// Takes all notices, where they do not go over the network.
    messenger: Option<Messenger>,
}

/// A target with its client.
struct TargetClient {
    target: Target,
    /// True for the target of drills, which gets nothing else.
    is_drill: bool,
    /// Made once: certificates that cannot be read at a restart of the actor must not end what works.
    client: OnceLock<NoticeClient>,
}

impl TargetClient {
    fn new(target: &Target, is_drill: bool) -> Self {
        Self { target: target.clone(), is_drill, client: OnceLock::new() }
    }

    fn client(&self) -> Result<&NoticeClient, NoClient> {
        match self.client.get() {
            Some(client) => Ok(client),
            None => NoticeClient::new(&self.target).map(|made| self.client.get_or_init(|| made)),
        }
    }
}

impl NoticeSender {
    /// Returns a sender to `targets`.
    pub(crate) fn new(targets: &Targets, clock: Arc<dyn Clock>) -> Self {
        let chain = targets.chain.iter().map(|target| TargetClient::new(target, false));
        let drill = targets.drill.iter().map(|target| TargetClient::new(target, true));
        Self { targets: chain.chain(drill).collect(), clock, messenger: None }
    }

    /// Has this messenger take all notices.
    pub(crate) fn by(self, messenger: Messenger) -> Self {
        Self { messenger: Some(messenger), ..self }
    }

    /// Returns all targets, in the order of their indexes.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().map(|target| &target.target)
    }

    /// Returns a target.
    pub(crate) fn target(&self, index: TargetIndex) -> &Target {
        &self.targets[index.0].target
    }

    /// Sends a notice once, with `head` as the head of the trail.
    pub(crate) async fn send(&self, notice: Notice, head: Option<Head>) -> EndedNotice {
        let target = &self.targets[notice.target_index.0];
        // The desk keeps drills and real incidents apart. If it ever fails to, no helper must set out for a drill.
        if target.is_drill != notice.incident.drill {
            return self.unsent(&notice, "a drill and a real target, or the other way round".into());
        }
        if let Some(messenger) = &self.messenger {
            return messenger(notice).await;
        }
        match target.client() {
            Ok(client) => client::send(client, &target.target, &notice, head, &*self.clock).await,
            Err(err) => self.unsent(&notice, err.to_string()),
        }
    }

    fn unsent(&self, notice: &Notice, reason: String) -> EndedNotice {
        notice.end(self.clock.now_ms(), Duration::ZERO, Outcome::Failed { reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_incarnation_sends_with_the_same_client() {
        let second = Duration::from_secs(1);
        let target = Target::new("primary", "http://127.0.0.1:1/", "", second, 1, second).unwrap();
        let target = TargetClient::new(&target, false);
        assert!(std::ptr::eq(target.client().unwrap(), target.client().unwrap()));
    }
}
