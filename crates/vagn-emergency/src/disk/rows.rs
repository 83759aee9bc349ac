//! Rows that go from one database to another, table by table.

use redb::{Key, ReadTransaction, ReadableTable, TableDefinition, TableError, Value, WriteTransaction};

/// Rows between two looks whether the copy is still wanted.
const LOOK_EVERY: u64 = 1_024;

/// A copy from what one transaction sees to what another one writes.
pub(crate) struct Rows<'a> {
    from: &'a ReadTransaction,
    to: &'a WriteTransaction,
    is_wanted: &'a dyn Fn() -> bool,
    count: u64,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(
        from: &'a ReadTransaction,
        to: &'a WriteTransaction,
        is_wanted: &'a dyn Fn() -> bool,
    ) -> Self {
        Self { from, to, is_wanted, count: 0 }
    }

    pub(crate) fn from(&self) -> &ReadTransaction {
        self.from
    }

    pub(crate) fn to(&self) -> &WriteTransaction {
        self.to
    }

    /// Copies all rows of a table.
    pub(crate) fn copy<K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<(), redb::Error> {
        let from = match self.from.open_table(table) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            opened => opened?,
        };
        let mut to = self.to.open_table(table)?;
        for row in from.iter()? {
            let (key, value) = row?;
            to.insert(key.value(), value.value())?;
            self.count += 1;
            if self.count.is_multiple_of(LOOK_EVERY) && !(self.is_wanted)() {
                return Err(redb::Error::Io(std::io::ErrorKind::Interrupted.into()));
            }
        }
        Ok(())
    }
}
