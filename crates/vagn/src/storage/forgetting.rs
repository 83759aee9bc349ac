//! Forgetting: vehicles that were silent for too long, and counts of those that left under keys that are over.

use std::collections::HashSet;
use std::sync::Arc;

use vagn_flow::clock::Believed;
use vagn_otp::{Context, Handle};
use vagn_store::{DepartedAt, Forget, KeyTag, Partition};

use crate::storage::{Bounds, Storage};
use crate::teller::Teller;

/// Longest time between two rounds of forgetting, ms: a vehicle is forgotten at most this late.
const FORGET_EVERY_MAX_MS: i64 = 3_600_000;

/// Keys that are over, and how far their counts were forgotten.
pub(super) struct KeysOver {
    keys: Arc<HashSet<KeyTag>>,
    behind: Option<DepartedAt>,
}

/// The rounds of forgetting.
#[derive(Debug, Default)]
pub(super) struct Forgetting {
    /// The command of the round that is under way.
    command: Option<Forget>,
    next_round_ms: i64,
}

impl Forgetting {
    /// Gives the command to forget vehicles that sent nothing for too long: it begins a round when one is due, and goes on
    /// with one under way. Returns true while there is more to do. Without a time that is believed it does nothing.
    pub(super) fn go_on(
        &mut self,
        partition: &mut Partition,
        bounds: Bounds,
        now: Option<Believed>,
        teller: &Teller,
    ) -> bool {
        let Some(now) = now else { return false };
        let now_ms = now.now_ms;
        let forget_after_ms = bounds.forget_after_ms;
        let next_round_ms = now_ms.saturating_add(FORGET_EVERY_MAX_MS.min(forget_after_ms / 10));
        // Where the clock has come back from a time that was too late, the pause begins anew.
        self.next_round_ms = self.next_round_ms.min(next_round_ms);
        if self.command.is_none()
            && now_ms >= self.next_round_ms
            && let Some(before_ms) = now.before(forget_after_ms)
        {
            self.next_round_ms = next_round_ms;
            self.command = Some(Forget { before_ms, now_ms });
        }
        let Some(command) = self.command else { return false };
        // What goes wrong here stops the partition, and its health tells why.
        let forgotten = partition.forget(command).unwrap_or_default();
        let more = forgotten.more;
        teller.tell_gone(partition.end(), forgotten.vehicles);
        if !more {
            self.command = None;
        }
        more
    }
}

/// Forgets some of the counts of keys that are over. Returns true while there are more.
pub(super) fn go_on_forgetting(partition: &mut Partition, over: &mut Option<KeysOver>) -> bool {
    let Some(KeysOver { keys, behind }) = over else { return false };
    // What goes wrong here stops the partition, and its health tells why.
    match partition.forget_keys(keys, *behind) {
        Ok(Some(end)) => *behind = Some(end),
        Ok(None) | Err(_) => *over = None,
    }
    over.is_some()
}

/// Forgets the counts of sealed vehicles that left under these keys, which are over, a little at a time.
pub struct ForgetKeys(pub Arc<HashSet<KeyTag>>);

impl Handle<ForgetKeys> for Storage {
    type Reply = ();

    async fn handle(&mut self, ForgetKeys(keys): ForgetKeys, _: &mut Context<Self>) {
        self.over = Some(KeysOver { keys, behind: None });
    }
}
