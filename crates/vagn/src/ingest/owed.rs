//! What refusing a report leaves to do: its sender is answered, and its vehicle's look at the sequence falls to another report.

use vagn_flow::fate::Share;
use vagn_flow::proof::SealMark;
use vagn_flow::receipt::ReceiptPart;
use vagn_seal::KeyId;
use vagn_store::{Key, KeyTag, Seal, Sighting};
use vagn_wire::Reject;

/// Counts a report that is refused, and answers its sender.
#[cold]
pub(super) fn refuse(share: &mut Share, answer: Option<&mut ReceiptPart>, index: u32, reject: Reject) {
    share.reject(reject);
    if let Some(answer) = answer {
        answer.reject(index, reject);
    }
}

/// Vehicles in envelopes whose first report was refused before its writer saw it. The look at the sequence, which all reports of a
/// vehicle in an envelope share, falls to the next one.
#[derive(Default)]
pub(super) struct OwedLooks<'a>(Vec<(KeyId, u64, Key<'a>)>);

impl<'a> OwedLooks<'a> {
    /// Numbers a sighting by the sequence of its seal.
    pub(super) fn sealed(
        &mut self,
        seal: &SealMark,
        key: Key<'a>,
        sighting: &mut Sighting,
    ) -> Result<Seal, Reject> {
        let more = self.look(seal, key, sighting.own_time)?;
        sighting.seq = Some(seal.sequence);
        Ok(Seal { key: KeyTag::of_key_id(seal.key_id.0), more })
    }

    /// Returns true if an earlier report of the vehicle in the envelope has the look at the sequence.
    pub(super) fn look(&mut self, seal: &SealMark, key: Key<'a>, own_time: bool) -> Result<bool, Reject> {
        let look = (seal.key_id, seal.sequence, key);
        let more = seal.more && !self.take(look);
        if seal.needs_time && !own_time {
            if !more {
                self.0.push(look);
            }
            return Err(Reject::NoTime);
        }
        Ok(more)
    }

    fn take(&mut self, look: (KeyId, u64, Key<'a>)) -> bool {
        let at = self.0.iter().position(|owed| *owed == look);
        at.map(|at| self.0.swap_remove(at)).is_some()
    }
}
