//! What the node tells of itself: each thing once, for the log and the metrics.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};
use vagn_cluster::{Happened, NodeId, ShardId, Stop};

use super::metrics::ClusterMetrics;
use super::picture::stop_reason;

/// Words of all events, for metrics.
pub(super) const EVENTS: [&str; 30] = [
    "founded",
    "record_restored",
    "copy_begun",
    "copy_resumed",
    "copy_lost",
    "mirror_lost",
    "caught_up",
    "left",
    "silent_consumer",
    "next_entry_purged",
    "published_again",
    "log_damaged",
    "rest_unread",
    "stopped",
    "went_on",
    "struck_off",
    "last_owner",
    "two_owners",
    "epoch_repaired",
    "repeat_refused",
    "time_held",
    "suspected",
    "said_farewell",
    "heard_again",
    "differs",
    "twice",
    "not_understood",
    "brokers_away",
    "shed",
    "hedged",
];

/// Time after a farewell for which it explains that shards have one owner less: the node ends, is started again, and reads its files before it says what
/// it has.
const FAREWELL_COUNTS: Duration = Duration::from_secs(60);

/// Time after the start in which a node that was away for long may not have heard yet who has what it lacks.
const START_COUNTS: Duration = Duration::from_secs(30);

/// Takes what the node tells, and wakes the shelf. Clones share it.
#[derive(Clone)]
pub struct News {
    metrics: Arc<ClusterMetrics>,
    came: Arc<Notify>,
    /// Latest farewell of another node.
    farewell: Arc<Mutex<Option<Instant>>>,
    began: Instant,
}

/// How much it is worth.
enum Weight {
    Page,
    Warning,
    Notice,
    Detail,
}

impl News {
    /// Counts in these metrics.
    pub fn new(metrics: Arc<ClusterMetrics>) -> Self {
        Self { metrics, came: Arc::default(), farewell: Arc::default(), began: Instant::now() }
    }

    /// Waits until something has happened since the last wait.
    pub(super) async fn came(&self) {
        self.came.notified().await;
    }

    /// Ends the next wait.
    pub fn wake(&self) {
        self.came.notify_one();
    }

    /// Takes what happened. It waits for nothing.
    pub(super) fn take(&self, happened: Happened) {
        let (event, mut weight, mut what) = words(happened);
        match happened {
            Happened::SaidFarewell(_) => *self.farewell.lock() = Some(Instant::now()),
            Happened::LastOwner(_) if self.is_stop_awaited() => {
                (weight, what) = (
                    Weight::Notice,
                    "only one owner has all of the shard on its disk for now: a node was just stopped, as it was told to",
                );
            }
            // Who else has it is heard within seconds. If nobody is, an alert pages.
            Happened::Stopped(_, Stop::NextEntryPurged) if self.began.elapsed() < START_COUNTS => {
                (weight, what) = (
                    Weight::Warning,
                    "the shard is too far behind, and waits for an owner that it can be copied from",
                );
            }
            _ => {}
        }
        let (shard, node) = subject(happened);
        let node = node.map(|node| format!("{:016x}", node.0));
        let shard = shard.map(|shard| shard.0);
        let why = match happened {
            Happened::Stopped(_, stop) if matches!(weight, Weight::Page) => Some(stop_reason(stop)),
            _ => None,
        };
        self.metrics.happened(event);
        match weight {
            Weight::Page => error!(shard, node, why, "{what}"),
            Weight::Warning => warn!(shard, node, why, "{what}"),
            Weight::Notice => info!(shard, node, "{what}"),
            // It changes nothing that is shown, and comes often.
            Weight::Detail => return debug!(shard, node, "{what}"),
        }
        self.wake();
    }

    /// Returns true when a node has just said that it stops: during a restart its shards have one owner less, and that is no warning. If it stays away,
    /// an alert tells.
    fn is_stop_awaited(&self) -> bool {
        self.farewell.lock().is_some_and(|at| at.elapsed() < FAREWELL_COUNTS)
    }
}

fn subject(happened: Happened) -> (Option<ShardId>, Option<NodeId>) {
    use Happened as H;
    match happened {
        H::Founded | H::RecordRestored => (None, None),
        H::Suspected(node)
        | H::SaidFarewell(node)
        | H::HeardAgain(node)
        | H::Differs(node)
        | H::Twice(node)
        | H::NotUnderstood(node) => (None, Some(node)),
        H::StruckOff(shard, node) => (Some(shard), Some(node)),
        H::CopyBegun(shard)
        | H::CopyResumed(shard)
        | H::CopyLost(shard)
        | H::MirrorLost(shard)
        | H::CaughtUp(shard)
        | H::Left(shard)
        | H::SilentConsumer(shard)
        | H::NextEntryPurged(shard)
        | H::PublishedAgain(shard)
        | H::LogDamaged(shard)
        | H::RestUnread(shard)
        | H::Stopped(shard, _)
        | H::WentOn(shard)
        | H::LastOwner(shard)
        | H::TwoOwners(shard)
        | H::EpochRepaired(shard)
        | H::RepeatRefused(shard)
        | H::TimeHeld(shard)
        | H::BrokersAway(shard)
        | H::Shed(shard)
        | H::Hedged(shard) => (Some(shard), None),
    }
}

fn words(happened: Happened) -> (&'static str, Weight, &'static str) {
    use Happened as H;
    use Weight::{Detail, Notice, Page, Warning};
    match happened {
        H::Founded => ("founded", Notice, "a new data set is begun"),
        H::RecordRestored => {
            ("record_restored", Warning, "the brokers had lost the record of assignment; it is written again")
        }
        H::CopyBegun(_) => ("copy_begun", Notice, "the shard is being copied from an owner"),
        H::CopyResumed(_) => ("copy_resumed", Notice, "a copy of the shard that was cut off goes on"),
        H::CopyLost(_) => {
            ("copy_lost", Notice, "the copy of the shard begins anew, as its source has it no more")
        }
        H::MirrorLost(_) => (
            "mirror_lost",
            Warning,
            "what is shown of a shard of other nodes was not what they have; it is copied again after a pause",
        ),
        H::CaughtUp(_) => ("caught_up", Notice, "the whole shard is here"),
        H::Left(_) => ("left", Notice, "the shard is dropped, as this node is no owner any more"),
        H::SilentConsumer(_) => (
            "silent_consumer",
            Detail,
            "the brokers were silent although the shard had more; they are asked again",
        ),
        H::NextEntryPurged(_) => {
            ("next_entry_purged", Warning, "the shard is too far behind, and is copied from another owner")
        }
        H::PublishedAgain(_) => {
            ("published_again", Notice, "what only this node had of the shard is published again")
        }
        H::LogDamaged(_) => (
            "log_damaged",
            Warning,
            "the log of the shard is damaged; what can be read of it is published again, and its files are kept in `cluster/damaged-`",
        ),
        H::RestUnread(_) => (
            "rest_unread",
            Warning,
            "what stood behind the damaged part of the log of the shard cannot be read, and may be the only place of some reports; it is kept, and read again each minute at most",
        ),
        H::Stopped(..) => ("stopped", Page, "the shard takes nothing more here"),
        H::WentOn(_) => ("went_on", Notice, "the shard goes on"),
        H::StruckOff(..) => ("struck_off", Warning, "an owner was too far behind, and is struck off"),
        // VagnShardsSingleCopy tells if it stays so.
        H::LastOwner(_) => (
            "last_owner",
            Warning,
            "only one owner has all of the shard on its disk, as the other is away or behind",
        ),
        H::TwoOwners(_) => ("two_owners", Notice, "two owners have all of the shard again"),
        H::EpochRepaired(_) => {
            ("epoch_repaired", Notice, "a new epoch of the shard is begun from what is here")
        }
        H::RepeatRefused(_) => {
            ("repeat_refused", Detail, "an entry of the shard came again, and was not stored again")
        }
        H::TimeHeld(_) => {
            ("time_held", Detail, "a tick of the shard was older than its time, and did not set it back")
        }
        H::Suspected(_) => ("suspected", Warning, "a node is silent"),
        H::SaidFarewell(_) => ("said_farewell", Notice, "a node stops, as it was told to"),
        H::HeardAgain(_) => ("heard_again", Notice, "a node is heard again"),
        H::Differs(_) => {
            ("differs", Warning, "a node has other settings than this one, or its name is used twice")
        }
        H::Twice(_) => ("twice", Warning, "two processes run under the name of a node at once"),
        H::NotUnderstood(_) => (
            "not_understood",
            Detail,
            "a message was not sent to a node that runs an older version, which does not understand it",
        ),
        H::BrokersAway(_) => {
            ("brokers_away", Warning, "the shard has no leader at the brokers, or they are away")
        }
        H::Shed(_) => (
            "shed",
            Detail,
            "changes of the shard were shed, as they had waited for too long or there was no room",
        ),
        H::Hedged(_) => {
            ("hedged", Detail, "a question was asked once more, of another owner if there is one")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cluster::log::Log;
    use futures_util::FutureExt;
    use tokio::time::advance;
    use vagn_flow::metrics::MetricRegistry;

    fn news() -> News {
        News::new(Arc::new(ClusterMetrics::new(&MetricRegistry::new())))
    }

    #[test]
    fn what_changes_nothing_that_is_shown_wakes_nobody() {
        let news = news();
        news.take(Happened::Hedged(ShardId(1)));
        assert!(news.came().now_or_never().is_none());
        news.take(Happened::CaughtUp(ShardId(1)));
        assert!(news.came().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_that_was_announced_is_no_warning_of_a_shard_with_one_owner() {
        let (log, news) = (Log::default(), news());
        let _logged = log.take_all();
        news.take(Happened::SaidFarewell(NodeId(7)));
        news.take(Happened::LastOwner(ShardId(1)));
        advance(FAREWELL_COUNTS).await;
        news.take(Happened::LastOwner(ShardId(2)));
        let lines = log.lines();
        let levels: Vec<_> = lines.iter().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
        assert_eq!(levels, ["INFO", "INFO", "WARN"], "{lines:?}");
        assert!(lines[1].contains("for now") && lines[2].contains("away or behind"), "{lines:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_starts_behind_its_stream_is_no_page_before_it_can_have_heard_who_has_more() {
        let (log, news) = (Log::default(), news());
        let _logged = log.take_all();
        let lacks = Happened::Stopped(ShardId(1), Stop::NextEntryPurged);
        news.take(lacks);
        news.take(Happened::Stopped(ShardId(2), Stop::StreamGone));
        advance(START_COUNTS).await;
        news.take(lacks);
        let lines = log.lines();
        let levels: Vec<_> = lines.iter().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
        assert_eq!(levels, ["WARN", "ERROR", "ERROR"], "{lines:?}");
    }

    #[test]
    fn every_word_has_a_metric_from_the_start() {
        // The words of `words`, as its text has them: no value lists all that can happen.
        let (_, text) = include_str!("news.rs").split_once("fn words(").unwrap();
        let (text, _) = text.split_once("\n}\n").unwrap();
        let is_word =
            |text: &&str| !text.is_empty() && text.chars().all(|one| one.is_ascii_lowercase() || one == '_');
        let words: BTreeSet<_> = text.split('"').skip(1).step_by(2).filter(is_word).collect();
        assert_eq!(words, EVENTS.into_iter().collect());
        assert_eq!(words.len(), EVENTS.len());
    }
}
