//! Windows of sealed calls: they outlast the incidents with which they were written, and go with their key.

use redb::{ReadableDatabase, ReadableTable, WriteTransaction};
use vagn_seal::KeyId;

use super::schema::CALLS;
use super::{Store, StoreError};
use crate::record::call_window::CallWindow;

impl Store {
    /// Returns the windows of all vehicles that have called under a key.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn call_windows(&self) -> Result<Vec<(Box<str>, CallWindow)>, StoreError> {
        self.read_windows().map_err(StoreError::Failed)
    }

    fn read_windows(&self) -> Result<Vec<(Box<str>, CallWindow)>, redb::Error> {
        let table = self.db.begin_read()?.open_table(CALLS)?;
        let rows = table.iter()?.map(|row| {
            let (key, value) = row?;
            let ((key_id, vehicle_id), (highest, taken)) = (key.value(), value.value());
            let window = CallWindow::of_parts(KeyId(key_id.to_be_bytes()), highest, taken);
            Ok((vehicle_id.into(), window))
        });
        rows.collect()
    }

    /// Removes the windows of these keys, with one commit, or none where there were none.
    ///
    /// # Errors
    /// [`StoreError::Busy`] and [`StoreError::Failed`]; the windows are then still there.
    pub fn forget_keys(&self, key_ids: &[KeyId]) -> Result<(), StoreError> {
        let txn = self.begin()?;
        if remove_windows(&txn, key_ids).map_err(StoreError::Failed)? == 0 {
            return Ok(());
        }
        txn.commit().map_err(|err| StoreError::Failed(err.into()))
    }
}

/// Removes the windows of these keys. Returns how many there were.
fn remove_windows(txn: &WriteTransaction, key_ids: &[KeyId]) -> Result<usize, redb::Error> {
    let mut table = txn.open_table(CALLS)?;
    let mut removed = 0;
    for key_id in key_ids {
        let id = u64::from_be_bytes(key_id.0);
        let remove = |_: (u64, &str), _: (u64, u64)| {
            removed += 1;
            false
        };
        match id.checked_add(1) {
            Some(next) => table.retain_in((id, "")..(next, ""), remove)?,
            None => table.retain_in((id, "").., remove)?,
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::forgetful::Forgetful;
    use crate::id::IncidentId;
    use crate::record::draft::Draft;
    use crate::record::incident::Incident;

    fn key(number: u64) -> KeyId {
        KeyId(number.to_be_bytes())
    }

    #[test]
    fn keys_that_are_revoked_together_go_with_one_commit_and_those_without_calls_with_none() {
        let disk = Forgetful::with_power_for(usize::MAX, Vec::new());
        let store = Store::on(disk.clone(), 10).unwrap();
        let keys: Vec<_> = (0..400).chain([u64::MAX]).map(key).collect();
        let mut draft = Draft::from(Incident::example(IncidentId::from_u128(1), "bus 7"));
        draft.calls = keys.iter().map(|key_id| CallWindow::first(*key_id, 5)).collect();
        store.save(&[draft]).unwrap();
        let steps = |key_ids: &[KeyId]| {
            let before = disk.done();
            store.forget_keys(key_ids).unwrap();
            disk.done() - before
        };
        let one = steps(&keys[..1]);
        let all = steps(&keys[100..]);
        assert!(all < 5 * one, "{all} steps on the disk for 301 keys, and {one} for one");
        assert_eq!(steps(&[keys[0], key(1_000)]), 0, "they have no calls");
        let mut left: Vec<_> =
            store.call_windows().unwrap().iter().map(|(_, window)| window.key_id).collect();
        left.sort();
        assert_eq!(left, keys[1..100]);
    }
}
