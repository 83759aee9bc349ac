//! Sender: the targets with their clients. It sends a notice once, and keeps nothing else.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use prometheus_client::metrics::gauge::Gauge;
use vagn_flow::clock::Clock;

use crate::notify::client::{self, NoClient, NoticeClient};
use crate::notify::in_use::{SlotInUse, SlotMetrics};
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
    /// Attempts under way.
    in_use: Gauge,
}

impl TargetClient {
    fn new(target: &Target, is_drill: bool, slots: &SlotMetrics) -> Self {
        Self { target: target.clone(), is_drill, client: OnceLock::new(), in_use: slots.of(target) }
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
    pub(crate) fn new(targets: &Targets, clock: Arc<dyn Clock>, slots: &SlotMetrics) -> Self {
        let chain = targets.chain.iter().map(|target| TargetClient::new(target, false, slots));
        let drill = targets.drill.iter().map(|target| TargetClient::new(target, true, slots));
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
        let _slot = SlotInUse::take(&target.in_use);
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
    use futures_util::FutureExt;
    use vagn_flow::clock::SystemClock;
    use vagn_flow::metrics::MetricRegistry;

    use super::*;
    use crate::id::IncidentId;
    use crate::record::attempt::{Message, MessageKey};
    use crate::record::incident::Incident;

    #[tokio::test]
    async fn slots_in_use_are_counted_until_their_attempts_end_or_are_cut_off() {
        let registry = MetricRegistry::new();
        let slots = SlotMetrics::new(&registry);
        // It takes connections, and never answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let minute = Duration::from_secs(60);
        let target = Target::new("county", &url, "", minute, 7, minute).unwrap();
        let targets = Targets { chain: vec![target], drill: None };
        let sender = NoticeSender::new(&targets, Arc::new(SystemClock::new()), &slots);
        let incident = Incident::example(IncidentId::from_u128(7), "bus 7");
        let notice = Notice {
            told: incident.to_tell(),
            incident,
            target_index: TargetIndex(0),
            target: "county".into(),
            message: Message::Opened,
            key: MessageKey { incident: IncidentId::from_u128(7), number: 0 },
            number: 1,
            arrived: None,
        };
        let shows = |in_use| {
            let page = registry.page();
            [
                "vagn_emergency_slots{target=\"county\"} 7".to_owned(),
                format!("vagn_emergency_slots_in_use{{target=\"county\"}} {in_use}"),
            ]
            .iter()
            .all(|line| page.lines().any(|shown| shown == line))
        };
        assert!(shows(0), "{}", registry.page());
        let mut sending = Box::pin(sender.send(notice, None));
        assert!((&mut sending).now_or_never().is_none() && shows(1), "{}", registry.page());
        drop(sending);
        assert!(shows(0), "{}", registry.page());
    }

    #[test]
    fn every_incarnation_sends_with_the_same_client() {
        let second = Duration::from_secs(1);
        let target = Target::new("primary", "http://127.0.0.1:1/", "", second, 1, second).unwrap();
        let target = TargetClient::new(&target, false, &SlotMetrics::new(&MetricRegistry::new()));
        assert!(std::ptr::eq(target.client().unwrap(), target.client().unwrap()));
    }
}
