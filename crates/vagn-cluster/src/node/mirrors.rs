//! The mirrors of a node: one for each shard that is not to be had here, while somebody wants to see the whole fleet.

use super::mirror::Mirror;
use super::part::{Bench, Facts};
use super::{Around, Node, is_confirmed};
use crate::command::Command;
use crate::ids::{Moment, ShardId};
use crate::state::ShardState;

impl<S: ShardState> Node<S> {
    /// Keeps a mirror of each shard that is not to be had here, as long as somebody wants it. A replica that has stopped, or lags, is none that
    /// is here when another owner has all; where none has, no copy is made that would be no better.
    pub(super) fn run_mirrors(&mut self, now: Moment, out: &mut Vec<Command>) {
        let is_wanted = now.elapsed_ms < self.mirrors_until_ms;
        let Self { settings, numbers, keeper, members, parts, mirrors, mail, .. } = self;
        let known = keeper.known().filter(|_| is_wanted);
        let mut bench = Bench { settings, now, numbers, out, mail };
        let is_over = |shard: ShardId| known.is_none_or(|known| known.shard(shard).is_none());
        for (_, mut mirror) in mirrors.extract_if(.., |shard, _| is_over(*shard)) {
            mirror.end(&mut bench);
        }
        let Some(known) = known else { return };
        for (shard, place) in known.iter() {
            let others = || place.full_but(settings.node);
            let has_all = |node| {
                let holding = members.holding(node, shard, place.epoch, now);
                holding.is_some_and(|holding| holding.caught_up)
            };
            let is_here = parts.get(&shard).is_some_and(|part| {
                let is_left = part.is_behind(now) && (mirrors.contains_key(&shard) || others().any(has_all));
                part.shown().is_some() && !is_left
            });
            if is_here {
                if let Some(mut mirror) = mirrors.remove(&shard) {
                    mirror.end(&mut bench);
                }
                continue;
            }
            let around = Around { known, members, settings, is_confirmed: is_confirmed(keeper, now), now };
            if let Some(facts) = around.facts(shard, None) {
                mirrors.entry(shard).or_insert_with(|| Mirror::new(shard)).run(&facts, &mut bench);
            }
        }
    }

    pub(super) fn each_mirror(
        &mut self,
        now: Moment,
        out: &mut Vec<Command>,
        mut deed: impl FnMut(&mut Mirror<S>, &mut Bench<'_>),
    ) {
        let Self { settings, numbers, mirrors, mail, .. } = self;
        let mut bench = Bench { settings, now, numbers, out, mail };
        for mirror in mirrors.values_mut() {
            deed(mirror, &mut bench);
        }
    }

    /// Lets the mirror of a shard do something, if there is one, with what is known of the shard.
    pub(super) fn with_mirror(
        &mut self,
        shard: ShardId,
        now: Moment,
        out: &mut Vec<Command>,
        deed: impl FnOnce(&mut Mirror<S>, Option<&Facts<'_>>, &mut Bench<'_>),
    ) {
        let Self { settings, numbers, keeper, members, mirrors, mail, .. } = self;
        let Some(mirror) = mirrors.get_mut(&shard) else { return };
        let is_confirmed = is_confirmed(keeper, now);
        let around = keeper.known().map(|known| Around { known, members, settings, is_confirmed, now });
        let facts = around.and_then(|around| around.facts(shard, None));
        deed(mirror, facts.as_ref(), &mut Bench { settings, now, numbers, out, mail });
    }
}
