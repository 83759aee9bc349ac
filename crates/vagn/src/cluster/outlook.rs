//! What a look at the node means for readiness. Calls for help need no cluster, so nothing here stands in their way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vagn_flow::readiness::{Purpose, Readiness};
use vagn_nats::Missed;

use super::picture::{Picture, stop_of, stop_reason};

/// Name of the obstacle in `/readyz`. While the brokers are away it does not hold back the line `ready` for long.
pub const OBSTACLE: &str = "cluster";

/// Name of the obstacle while the node gives its shards away: it serves all the same, and balancers turn away from it.
const LEAVING: &str = "leaving";

/// Begins the names of warnings.
const PREFIX: &str = "cluster, ";

/// Tells readiness what stands in the way of positions and questions, and warns of what a person should look at.
pub struct Outlook {
    readiness: Arc<Readiness>,
    /// Name of the data set.
    set: String,
    /// Number of shards that is set.
    shards: u16,
    /// Names of the warnings that are given.
    given: Mutex<BTreeSet<String>>,
}

impl Outlook {
    /// Tells that the node has not begun.
    pub fn new(readiness: Arc<Readiness>, set: String, shards: u16) -> Self {
        readiness.missing(OBSTACLE, Purpose::FLEET, "the node is starting");
        Self { readiness, set, shards, given: Mutex::default() }
    }

    /// Tells that there is no node.
    pub(super) fn gone(&self) {
        let why = "the node is starting: it waits for a broker of `cluster.nats`, or for its files; the log says for which";
        self.readiness.missing(OBSTACLE, Purpose::FLEET, why);
        self.warn(Vec::new());
    }

    /// Tells that the node does not answer.
    pub(super) fn silent(&self, since: Duration) {
        let why = format!(
            "the node has not answered for {} s; where its thread hangs, it is started anew after `hang_limit`",
            since.as_secs()
        );
        self.readiness.missing(OBSTACLE, Purpose::FLEET, why);
        self.warn(Vec::new());
    }

    /// Tells what a look means. Returns true while the node leaves in order: it gives its shards away, and nothing else stands in the way.
    pub(super) fn tell(&self, picture: &Picture, is_connected: bool) -> bool {
        match self.obstacle(picture, is_connected) {
            Some((blocks, why)) => {
                self.readiness.missing(OBSTACLE, blocks, why);
            }
            None => self.readiness.present(OBSTACLE),
        }
        match leaving(picture) {
            Some(why) => {
                self.readiness.missing(LEAVING, Purpose::FLEET, why);
            }
            None => self.readiness.present(LEAVING),
        }
        self.warn(warnings(picture));
        self.readiness.report().missing.keys().eq([LEAVING])
    }

    /// Says what is wrong where the data set has another number of shards than is set.
    pub(super) fn wrong_shards(&self, picture: &Picture) -> Option<String> {
        let (count, set) = (picture.shards.len(), usize::from(self.shards));
        (picture.is_known && count != set).then(|| {
            format!(
                "the data set `{}` has {count} shards, and `cluster.shards` is {set}; set it to {count}, and start again",
                self.set
            )
        })
    }

    fn obstacle(&self, picture: &Picture, is_connected: bool) -> Option<(&'static [Purpose], String)> {
        if let Some(why) = self.wrong_shards(picture) {
            return Some((Purpose::FLEET, why));
        }
        if !is_connected {
            let why = "no broker of `cluster.nats` is connected; positions fail until one is";
            return Some((if picture.is_known { &[Purpose::Store] } else { Purpose::FLEET }, why.to_owned()));
        }
        if !picture.is_known {
            let why = "it is not known yet which nodes have which shards".to_owned();
            return Some((Purpose::FLEET, why));
        }
        let unowned = picture.unowned();
        (!unowned.is_empty()).then(|| {
            let why = format!(
                "no node answers for {} with all they have; their positions wait, and then fail",
                named(&unowned)
            );
            (&[Purpose::Store][..], why)
        })
    }

    /// Gives these warnings, and ends those that were given before and are none of them.
    fn warn(&self, warnings: Vec<(String, String)>) {
        let mut given = self.given.lock();
        let now: BTreeSet<String> = warnings.iter().map(|(name, _)| name.clone()).collect();
        given.difference(&now).for_each(|name| self.readiness.clear(name));
        for (name, what) in warnings {
            self.readiness.warn(name, what);
        }
        *given = now;
    }
}

/// Says shards in words, such as "shard 3" or "shards 3, 5".
fn named(shards: &[u16]) -> String {
    let numbers: Vec<_> = shards.iter().map(u16::to_string).collect();
    format!("shard{} {}", if shards.len() == 1 { "" } else { "s" }, numbers.join(", "))
}

/// Says streams in words, such as "shards 3, 5 and calls for help".
fn streams(missed: &Missed) -> String {
    let shards = (!missed.shards.is_empty()).then(|| named(&missed.shards));
    let calls = missed.trail.then(|| "calls for help".to_owned());
    shards.into_iter().chain(calls).collect::<Vec<_>>().join(" and ")
}

/// Says how far a node is that gives its shards away.
fn leaving(picture: &Picture) -> Option<String> {
    let own = picture.members.first().filter(|member| member.leaves)?;
    Some(match picture.owned_by(own.node) {
        0 => "the node was drained: it has no shards any more, and can be stopped".to_owned(),
        left => {
            format!("the node is drained: it has {left} shards left to give away; a restart takes it back")
        }
    })
}

fn warnings(picture: &Picture) -> Vec<(String, String)> {
    let mut warnings = Vec::new();
    let mut warn = |name: String, what: String| warnings.push((format!("{PREFIX}{name}"), what));
    let own = picture.members.first().map_or(0, |member| member.version);
    for member in &picture.members {
        // One that said it would go, or stops, is not missed; what it still owned is told by shard.
        if !member.is_heard && !member.leaves && !member.stops {
            let what = format!("it has been silent for {} s", member.silent_ms / 1_000);
            warn(format!("node {}", member.name), what);
        } else if member.is_heard && member.is_twice {
            let what = "two processes run under its name at once; stop the one that was started by mistake, and give each node a name of its own \
                        (`--node`) and a data directory of its own";
            warn(format!("node {}", member.name), what.to_owned());
        } else if member.is_heard && member.differs {
            let what = "its settings differ from those here, or its name is used twice; make forget_after, max_vehicles, \
                        cluster.shards and auth.devices equal on all nodes";
            warn(format!("node {}", member.name), what.to_owned());
        } else if member.is_heard && member.version < own {
            let what = "it runs an older version, which does not understand all that this node says; go on with the upgrade";
            warn(format!("node {}", member.name), what.to_owned());
        }
    }
    for shard in &picture.shards {
        if let Some(stop) = shard.own.and_then(|own| stop_of(own.stage)) {
            warn(
                format!("shard {}", shard.shard.0),
                format!("it takes nothing more here: {}", stop_reason(stop)),
            );
        }
    }
    for (broker, missed) in &picture.copies.away {
        let what = format!(
            "it has no copy of the streams of {} that keeps up: it does not run, is cut off, or its disk is or was full (then it stores nothing until it is started \
             again); where one more fails, nothing is stored",
            streams(missed)
        );
        warn(format!("broker {broker}"), what);
    }
    let silent = &picture.copies.silent;
    if !silent.is_none() {
        let what = format!(
            "no broker answers for the streams of {}: most of those that keep them do not run, are cut off, or have or had a full disk (then they store nothing until they \
             are started again)",
            streams(silent)
        );
        warn("streams".to_owned(), what);
    }
    let rests: Vec<_> =
        picture.shards.iter().filter(|shard| shard.is_rest_unread).map(|shard| shard.shard.0).collect();
    if !rests.is_empty() {
        let what = format!(
            "what stood behind the damaged part of the log of {} cannot be read, and may be the only place of some reports; it is kept in \
             `cluster/damaged-`, and read again each minute at most; mend the disk",
            named(&rests)
        );
        warn("rests".to_owned(), what);
    }
    // With a single node that stores, there is nothing else to expect.
    if picture.members.iter().filter(|member| member.stores).count() > 1 {
        let lone = picture
            .shards
            .iter()
            .filter(|shard| shard.owners.iter().filter(|owner| owner.is_full).count() == 1);
        let lone: Vec<_> = lone.map(|shard| shard.shard.0).collect();
        if !lone.is_empty() {
            let what = format!(
                "only one node has all of {}; a second copy is on its way, or finds no node of another zone",
                named(&lone)
            );
            warn("copies".to_owned(), what);
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::picture::ShardPicture;
    use vagn_cluster::{Counts, MemberView, NodeId, OwnerView, ShardId, ShardView, Stage, Stop, StreamId};
    use vagn_nats::Copies;

    fn member(name: &str, silent_ms: u64, differs: bool) -> MemberView {
        let zone = None;
        let is_heard = silent_ms < 3_000;
        MemberView {
            node: NodeId(1),
            name: name.into(),
            zone,
            version: 1,
            stores: true,
            leaves: false,
            silent_ms,
            is_heard,
            stops: false,
            differs,
            is_twice: false,
        }
    }

    fn shard(number: u16, stage: Stage, owners: &[bool]) -> ShardPicture {
        let shard = ShardId(number);
        let stream = StreamId { shard, epoch: 1 };
        let own = ShardView { shard, stream, stage, received: 1, applied: 1, tick: None };
        let owners = owners.iter().zip(1..).map(|(has_all, node)| OwnerView {
            node: NodeId(node),
            is_full: *has_all,
            synced: Some(1),
            caught_up: *has_all,
        });
        ShardPicture { shard, owners: owners.collect(), own: Some(own), is_rest_unread: false }
    }

    fn picture(members: Vec<MemberView>, shards: Vec<ShardPicture>) -> Picture {
        Picture { members, shards, is_known: true, counts: Counts::default(), copies: Copies::default() }
    }

    fn outlook(shards: u16) -> Outlook {
        Outlook::new(Arc::default(), "fleet".into(), shards)
    }

    #[test]
    fn a_single_node_that_has_all_is_ready() {
        let outlook = outlook(1);
        assert!(!outlook.readiness.report().ready);
        outlook.tell(&picture(vec![member("a", 0, false)], vec![shard(0, Stage::CaughtUp, &[true])]), true);
        let report = outlook.readiness.report();
        assert!(report.ready && report.warnings.is_empty(), "{report:?}");
    }

    #[test]
    fn calls_are_taken_whatever_becomes_of_the_cluster() {
        let outlook = outlook(2);
        let check = |picture: &Picture, is_connected, (can_ask, can_store), said: &str| {
            outlook.tell(picture, is_connected);
            let report = outlook.readiness.report();
            assert_eq!(
                (report.can_take_alarms, report.can_ask, report.can_store),
                (true, can_ask, can_store)
            );
            assert!(report.missing.get(OBSTACLE).is_some_and(|why| why.contains(said)), "{report:?}");
        };
        let unknown = Picture { is_known: false, ..picture(Vec::new(), Vec::new()) };
        check(&unknown, false, (false, false), "no broker");
        check(&unknown, true, (false, false), "not known yet");
        let whole = || vec![shard(0, Stage::CaughtUp, &[true]), shard(1, Stage::CaughtUp, &[true])];
        check(&picture(Vec::new(), whole()), false, (true, false), "no broker");
        let unowned = vec![shard(0, Stage::CaughtUp, &[true]), shard(1, Stage::CaughtUp, &[false, false])];
        check(&picture(Vec::new(), unowned), true, (true, false), "shard 1");
        check(
            &picture(Vec::new(), vec![shard(0, Stage::CaughtUp, &[true])]),
            true,
            (false, false),
            "set it to 1",
        );
        outlook.gone();
        assert!(outlook.readiness.report().can_take_alarms);
    }

    #[test]
    fn a_node_that_is_drained_turns_balancers_away_and_says_how_far_it_is() {
        let outlook = outlook(2);
        let owned = |nodes: &[bool]| vec![shard(0, Stage::CaughtUp, nodes), shard(1, Stage::CaughtUp, nodes)];
        let leaves = MemberView { leaves: true, ..member("a", 0, false) };
        let other = MemberView { node: NodeId(2), ..member("b", 0, false) };
        let in_order =
            outlook.tell(&picture(vec![leaves.clone(), other.clone()], owned(&[true, true])), true);
        assert!(in_order);
        let report = outlook.readiness.report();
        assert!(!report.ready && report.can_take_alarms, "{report:?}");
        assert!(report.missing[LEAVING].contains("2 shards left"), "{report:?}");
        let elsewhere = || {
            let mut shards = owned(&[true, true]);
            shards.iter_mut().for_each(|shard| shard.owners.retain(|owner| owner.node != NodeId(1)));
            shards
        };
        let given = picture(vec![leaves, other.clone()], elsewhere());
        assert!(!outlook.tell(&given, false), "it has no brokers");
        assert!(outlook.tell(&given, true));
        assert!(outlook.readiness.report().missing[LEAVING].contains("can be stopped"));
        // Another node that leaves is none of its business, and one that was started anew leaves no more.
        let other = MemberView { leaves: true, ..other };
        assert!(!outlook.tell(&picture(vec![member("a", 0, false), other], owned(&[true, true])), true));
        assert!(outlook.readiness.report().ready);
    }

    #[test]
    fn a_broker_without_a_copy_that_keeps_up_and_streams_without_a_leader_are_named() {
        let outlook = outlook(1);
        let whole = || {
            let members = vec![member("a", 0, false), member("b", 0, false)];
            picture(members, vec![shard(0, Stage::CaughtUp, &[true, true])])
        };
        let copies = Copies {
            away: [("n3".to_owned(), Missed { shards: vec![0], trail: true })].into(),
            silent: Missed { shards: vec![1, 2], trail: false },
        };
        outlook.tell(&Picture { copies, ..whole() }, true);
        let report = outlook.readiness.report();
        assert!(report.ready, "{report:?}");
        let said = |name: &str| report.warnings[name].clone();
        assert!(said("cluster, broker n3").contains("streams of shard 0 and calls for help"), "{report:?}");
        assert!(said("cluster, streams").contains("streams of shards 1, 2:"), "{report:?}");
        outlook.tell(&whole(), true);
        assert!(outlook.readiness.report().warnings.is_empty());
    }

    #[test]
    fn warnings_come_and_go() {
        let outlook = outlook(1);
        let stopped = Stage::Stopped(Stop::HashDiffers);
        let gone = MemberView { leaves: true, ..member("d", 9_000, false) };
        let stopped_now = MemberView { stops: true, is_heard: false, ..member("e", 0, false) };
        let mut members = vec![member("a", 0, false), member("b", 9_000, false), member("c", 0, true)];
        let older = MemberView { version: 0, ..member("f", 0, false) };
        let twice = MemberView { is_twice: true, ..member("g", 0, false) };
        members.extend([gone, stopped_now, older, twice]);
        let unread = ShardPicture { is_rest_unread: true, ..shard(0, stopped, &[true, false]) };
        outlook.tell(&picture(members, vec![unread]), true);
        let warnings = outlook.readiness.report().warnings;
        let names: Vec<_> = warnings.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "cluster, copies",
                "cluster, node b",
                "cluster, node c",
                "cluster, node f",
                "cluster, node g",
                "cluster, rests",
                "cluster, shard 0"
            ]
        );
        assert!(warnings["cluster, node g"].contains("two processes"), "{warnings:?}");
        assert!(warnings["cluster, node f"].contains("older version"), "{warnings:?}");
        assert!(warnings["cluster, rests"].contains("log of shard 0 cannot be read"), "{warnings:?}");
        assert!(warnings["cluster, node b"].contains("silent for 9 s"), "{warnings:?}");
        let whole = vec![shard(0, Stage::CaughtUp, &[true, true])];
        outlook.tell(&picture(vec![member("a", 0, false), member("b", 0, false)], whole), true);
        assert!(outlook.readiness.report().warnings.is_empty());
    }
}
