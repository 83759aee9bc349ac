//! Writes of a registry that all nodes have: through the bucket, until the copy shows them.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Appended, Shared};
use crate::devices::has_secrets;
use crate::file;
use crate::{Change, Kind, Put, PutError, Registry};

/// Longest wait for a write: an election of brokers takes longer.
const WRITE_WITHIN: Duration = Duration::from_secs(5);

/// Longest wait for the copy to show what was written.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// Pause before the same is written again that got no answer.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Objects that are written at once, all or none. Brokers take a thousand.
const AT_ONCE: usize = 500;

impl Registry {
    /// Writes through the bucket.
    pub(crate) fn put_shared(&self, shared: &Shared, puts: &[Put<'_>]) -> Result<u64, PutError> {
        let written = self.put_in_turn(shared, puts);
        if matches!(written, Err(PutError::Unavailable(_) | PutError::Doubtful(_))) {
            shared.refused.fetch_add(1, Ordering::Relaxed);
        }
        written
    }

    fn put_in_turn(&self, shared: &Shared, puts: &[Put<'_>]) -> Result<u64, PutError> {
        shared.open()?;
        // What has no secrets, such as a key that is revoked, needs no key that others have.
        if shared.has_other_key.load(Ordering::Acquire) && puts.iter().any(wraps_secrets) {
            return Err(PutError::Unavailable(
                "registry.key_file of this node is not that of the cluster: other nodes could not unwrap what it writes; give it the same \
                 file, or change devices at another node"
                    .into(),
            ));
        }
        let Some(_alone) = shared.writing.try_lock_for(WRITE_WITHIN) else {
            return Err(unavailable("others write at this node; try again"));
        };
        let mut last = 0;
        for some in puts.chunks(AT_ONCE) {
            last = self.put_at_once(shared, some)?;
        }
        Ok(last)
    }

    fn put_at_once(&self, shared: &Shared, puts: &[Put<'_>]) -> Result<u64, PutError> {
        let until = Instant::now() + WRITE_WITHIN;
        loop {
            shared.open()?;
            let (after, changing) = {
                let _in_order = self.inner.writing.lock();
                file::plan(&self.inner.db, puts)?
            };
            if changing.is_empty() {
                return Ok(after);
            }
            if let Some(last) = self.append(shared, after, &changing, until)? {
                if !shared.wait_for(last, Instant::now() + SHOWN_WITHIN) {
                    return Err(PutError::Doubtful(
                        "the brokers have this, and this node has not got it from them yet: it does not count here until then".into(),
                    ));
                }
                return Ok(last);
            }
            // Another writer was first, here or elsewhere.
            if !shared.wait_for(after + 1, until) {
                return Err(unavailable("this node's copy does not have what others wrote; try again"));
            }
        }
    }

    /// Appends these objects; `None`: another writer was first.
    fn append(
        &self,
        shared: &Shared,
        after: u64,
        objects: &[Put<'_>],
        until: Instant,
    ) -> Result<Option<u64>, PutError> {
        let mut is_doubtful = false;
        loop {
            match shared.bucket.append(after, objects) {
                Appended::At(last) => return Ok(Some(last)),
                Appended::Refused(why) => return Err(unavailable(&why)),
                Appended::Elsewhere if !is_doubtful => return Ok(None),
                // It may have been this very write that was first.
                Appended::Elsewhere => {
                    let is_there = self.has_written(shared, after, objects)?;
                    return Ok(is_there.then(|| after + objects.len() as u64));
                }
                // The same again is taken once at most: the bucket does not end there any more.
                Appended::NoAnswer if Instant::now() < until => is_doubtful = true,
                Appended::NoAnswer => return Err(in_doubt()),
            }
            std::thread::sleep(AGAIN_AFTER);
        }
    }

    /// Waits until the copy shows whether these objects were written behind `after`, or others were. All of a write come together, but
    /// the copy may take them one after the other; and what was changed again before it came does not come.
    fn has_written(&self, shared: &Shared, after: u64, objects: &[Put<'_>]) -> Result<bool, PutError> {
        let until = Instant::now() + SHOWN_WITHIN;
        for sequence in [after + 1, after + objects.len() as u64] {
            if !shared.wait_for(sequence, until) {
                return Err(in_doubt());
            }
            // Others were: there may be fewer than those that were to be written here.
            if self.seen(after, objects) == Some(false) {
                return Ok(false);
            }
        }
        self.seen(after, objects).ok_or_else(in_doubt)
    }

    /// Returns true if what the copy has seen of the sequences behind `after` is these objects; `None` if it has seen nothing of them.
    fn seen(&self, after: u64, objects: &[Put<'_>]) -> Option<bool> {
        let seen = objects.iter().zip(after + 1..).filter_map(|(put, sequence)| {
            self.inner.changes.was_written(sequence, |change| is_of(change, put))
        });
        seen.reduce(|one, other| one && other)
    }
}

fn wraps_secrets(put: &Put<'_>) -> bool {
    put.kind == Kind::Device && put.value.is_some_and(has_secrets)
}

fn is_of(change: &Change, put: &Put<'_>) -> bool {
    change.kind == put.kind && *change.key == *put.key && change.value.as_deref() == put.value
}

fn in_doubt() -> PutError {
    PutError::Doubtful(
        "the brokers did not say whether this was written, and this node has not seen it; look before you try again".into(),
    )
}

pub(super) fn unavailable(why: &str) -> PutError {
    PutError::Unavailable(format!("the registry of the cluster takes nothing now: {why}"))
}
