//! Windows of sealed calls: they outlast the incidents with which they were written, and go with their key.

use redb::{ReadableDatabase, ReadableTable};
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

    /// Removes the windows of a key.
    ///
    /// # Errors
    /// [`StoreError::Busy`] and [`StoreError::Failed`]; the windows are then still there.
    pub fn forget_key(&self, key_id: KeyId) -> Result<(), StoreError> {
        let txn = self.begin()?;
        let id = u64::from_be_bytes(key_id.0);
        let remove = || -> Result<(), redb::Error> {
            let mut table = txn.open_table(CALLS)?;
            match id.checked_add(1) {
                Some(next) => table.retain_in((id, "")..(next, ""), |_, _| false)?,
                None => table.retain_in((id, "").., |_, _| false)?,
            }
            Ok(())
        };
        remove().map_err(StoreError::Failed)?;
        txn.commit().map_err(|err| StoreError::Failed(err.into()))
    }
}
