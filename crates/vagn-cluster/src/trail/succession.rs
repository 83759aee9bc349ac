//! Succession: who leads by the trail, and when this node claims.

use crate::ids::{Moment, NodeId};
use crate::trail::command::{TrailCommand, TrailHappened};
use crate::trail::ids::EntryId;

/// Silence of a leader after which another node claims.
pub(crate) const SILENCE_MS: u64 = 3_000;

/// Time after an entry for which this node is sure to follow the trail as it is.
const LED_MS: u64 = 5_000;

/// Pause before a node that gave its leadership away for its clock, and leads again, does so once more.
const YIELD_AGAIN_MS: u64 = 60_000;

/// Time for which a node with a wrong clock leaves the claim to others.
const LATE_MS: u64 = SILENCE_MS;

/// Span over which the claims of nodes are spread.
const SPREAD_MS: u64 = 250;

/// Who leads, as the trail tells.
#[derive(Debug, Default)]
pub(crate) struct Succession {
    /// Node and run of the last claim.
    leader: Option<(NodeId, u64)>,
    /// Moment of the last sign of a leader; of the start, when there was none.
    heard_ms: Option<u64>,
    /// The leader has said farewell: there is no silence to wait for.
    has_left: bool,
    /// This node does not claim: it stops, or it is not to lead at all.
    abstains: bool,
    /// Moment of the last entry of a leader.
    led_ms: Option<u64>,
    /// A person said that this node may lead with its settings.
    is_asked: bool,
    differs: bool,
    /// At its last look most nodes had its settings, and none that was heard had others.
    agreed: bool,
    /// Its clock is not that of most nodes.
    is_clock_wrong: bool,
    /// Moment at which it gave its leadership away for that.
    yielded_ms: Option<u64>,
}

/// Settings of this node beside those of the leader before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// The same.
    Same,
    /// Others, which most nodes have by now, and all that are heard.
    Agreed,
    /// Others.
    Other,
}

impl Succession {
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.leader.map(|(node, _)| node)
    }

    /// Returns true while no leader is heard and this node does not claim for its settings.
    pub(crate) fn holds_back(&self) -> bool {
        self.differs
    }

    /// The leader gave a sign. Returns true if it is another one than before.
    pub(crate) fn heard(&mut self, id: EntryId, now: Moment) -> bool {
        let now_ms = Some(now.elapsed_ms);
        (self.heard_ms, self.led_ms) = (now_ms, now_ms);
        (self.has_left, self.differs, self.agreed) = (false, false, false);
        let leader = Some((id.node, id.run));
        std::mem::replace(&mut self.leader, leader) != leader
    }

    /// The trail is another one: who led the one before says nothing. What this node is to do stays as it is.
    pub(crate) fn begin_anew(&mut self) {
        let Self { abstains, is_asked, is_clock_wrong, yielded_ms, .. } = *self;
        *self = Self { abstains, is_asked, is_clock_wrong, yielded_ms, ..Self::default() };
    }

    /// The leader said farewell: there is none, and the next one may claim.
    pub(crate) fn left(&mut self) {
        (self.leader, self.has_left) = (None, true);
    }

    /// This node claims no more.
    pub(crate) fn abstain(&mut self) {
        self.abstains = true;
    }

    pub(crate) fn abstains(&self) -> bool {
        self.abstains
    }

    /// Returns the moment of the last entry of a leader.
    pub(crate) fn led_ms(&self) -> Option<u64> {
        self.led_ms
    }

    /// Returns true while entries of a leader come.
    pub(crate) fn is_led(&self, now: Moment) -> bool {
        self.led_ms.is_some_and(|led_ms| now.elapsed_ms < led_ms + LED_MS)
    }

    /// Notes whether the clock of this node is not that of most others: they are to lead then, if they can.
    pub(crate) fn doubt_clock(&mut self, is_wrong: bool) {
        self.is_clock_wrong = is_wrong;
    }

    /// Returns true for a leader that is to give its leadership away for its clock. Not again at once: if it has to lead again, no other node could.
    pub(crate) fn is_to_yield(&self, now: Moment) -> bool {
        let may_again = |yielded_ms| now.elapsed_ms >= yielded_ms + YIELD_AGAIN_MS;
        self.is_clock_wrong && self.yielded_ms.is_none_or(may_again)
    }

    pub(crate) fn yields(&mut self, now: Moment) {
        self.yielded_ms = Some(now.elapsed_ms);
    }

    pub(crate) fn ask(&mut self) {
        self.is_asked = true;
    }

    /// Returns true when this node is to claim. It is told what its settings are beside those of the leader, and a number of its run.
    pub(crate) fn is_due(
        &mut self,
        likeness: Likeness,
        random: u64,
        now: Moment,
        out: &mut Vec<TrailCommand>,
    ) -> bool {
        if self.abstains || now.elapsed_ms < self.due_ms(random, now) {
            return false;
        }
        // At two looks, a silence apart: a node with the settings of before that can lead has claimed by then, or was heard.
        let agreed_before = std::mem::replace(&mut self.agreed, likeness == Likeness::Agreed);
        let may_claim = likeness == Likeness::Same || self.is_asked || self.agreed && agreed_before;
        let differs = !may_claim;
        match (std::mem::replace(&mut self.differs, differs), differs) {
            (false, true) => out.push(TrailCommand::Tell(TrailHappened::Differs)),
            (true, false) if likeness == Likeness::Agreed && !self.is_asked => {
                out.push(TrailCommand::Tell(TrailHappened::Agreed))
            }
            _ => {}
        }
        if differs {
            // It looks again after another silence.
            (self.heard_ms, self.has_left) = (Some(now.elapsed_ms), false);
        }
        !differs
    }

    /// Returns the moment of this node's claim, if nobody is heard before.
    pub(crate) fn due_ms(&mut self, random: u64, now: Moment) -> u64 {
        let silence_ms = if self.has_left { 0 } else { SILENCE_MS };
        let late_ms = if self.is_clock_wrong { LATE_MS } else { 0 };
        *self.heard_ms.get_or_insert(now.elapsed_ms) + silence_ms + late_ms + random % SPREAD_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: EntryId = EntryId { node: NodeId(2), run: 1, number: 1 };

    fn at(elapsed_ms: u64) -> Moment {
        Moment { elapsed_ms, wall_ms: 0 }
    }

    #[test]
    fn a_node_claims_after_three_seconds_of_silence() {
        let (mut succession, mut out) = (Succession::default(), Vec::new());
        assert!(!succession.is_due(Likeness::Same, 0, at(500), &mut out));
        assert!(!succession.is_due(Likeness::Same, 0, at(3_499), &mut out));
        assert!(succession.is_due(Likeness::Same, 0, at(3_500), &mut out));
        assert!(succession.heard(LEADER, at(3_600)));
        assert!(!succession.heard(LEADER, at(3_600)), "the same one");
        assert!(
            !succession.is_due(Likeness::Same, 0, at(6_599), &mut out)
                && succession.is_due(Likeness::Same, 0, at(6_600), &mut out)
        );
    }

    #[test]
    fn nobody_waits_for_a_leader_that_said_farewell_and_one_that_abstains_claims_no_more() {
        let (mut succession, mut out) = (Succession::default(), Vec::new());
        succession.heard(LEADER, at(1_000));
        succession.left();
        assert_eq!(succession.leader(), None);
        assert!(!succession.is_due(Likeness::Same, 7, at(1_006), &mut out), "claims are spread");
        assert!(!succession.is_due(Likeness::Other, 7, at(1_007), &mut out), "its settings differ");
        assert!(!succession.is_due(Likeness::Same, 7, at(4_013), &mut out), "it looks again after a silence");
        succession.left();
        assert!(succession.is_due(Likeness::Same, 7, at(1_014), &mut out));
        assert!(succession.heard(LEADER, at(2_000)), "the same run may claim again");
        assert!(!succession.is_due(Likeness::Same, 7, at(5_006), &mut out));
        succession.abstain();
        assert!(!succession.is_due(Likeness::Same, 7, at(9_000), &mut out));
    }

    #[test]
    fn a_node_with_other_settings_claims_only_when_a_person_says_so() {
        let (mut succession, mut out) = (Succession::default(), Vec::new());
        succession.heard(LEADER, at(0));
        assert!(!succession.is_due(Likeness::Other, 0, at(4_000), &mut out));
        assert!(!succession.is_due(Likeness::Other, 0, at(8_000), &mut out));
        assert!(matches!(out[..], [TrailCommand::Tell(TrailHappened::Differs)]), "told once: {out:?}");
        assert!(succession.is_due(Likeness::Same, 0, at(12_000), &mut out), "one with the same does");
        succession.ask();
        assert!(succession.is_due(Likeness::Other, 0, at(16_000), &mut out));
    }

    #[test]
    fn a_node_with_other_settings_claims_when_nodes_agree_at_two_looks_in_a_row() {
        let (mut succession, mut out) = (Succession::default(), Vec::new());
        succession.heard(LEADER, at(0));
        assert!(!succession.is_due(Likeness::Agreed, 0, at(3_000), &mut out), "what it heard may be old");
        assert!(!succession.is_due(Likeness::Agreed, 0, at(5_999), &mut out), "it looks after a silence");
        assert!(!succession.is_due(Likeness::Other, 0, at(6_000), &mut out), "one has others after all");
        assert!(!succession.is_due(Likeness::Agreed, 0, at(9_000), &mut out));
        assert!(succession.is_due(Likeness::Agreed, 0, at(12_000), &mut out));
        assert!(succession.is_due(Likeness::Agreed, 0, at(12_500), &mut out), "its claim was refused");
        let told = |out: &[TrailCommand]| {
            let [TrailCommand::Tell(held), TrailCommand::Tell(agreed)] = out else { panic!("{out:?}") };
            (*held, *agreed)
        };
        assert_eq!(told(&out), (TrailHappened::Differs, TrailHappened::Agreed), "each once");
        succession.heard(LEADER, at(13_000));
        assert!(!succession.is_due(Likeness::Agreed, 0, at(16_000), &mut out), "it begins anew");
    }
}
