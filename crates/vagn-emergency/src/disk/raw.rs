//! Raw rows of tables: as one stream of bytes, which can be cut anywhere, and back into tables.
//!
//! A row is the number of its table (u8), the lengths of key and value (u32 each, little-endian), key, and value.

use redb::{Key, ReadTransaction, ReadableTable, TableDefinition, TableError, Value, WriteTransaction};

/// Bytes in front of key and value.
const HEAD_LEN: usize = 9;

/// Longest key or value, in bytes. A stream that says more is none.
const FIELD_MAX: usize = 16 << 20;

/// A table whose rows are copied.
pub(crate) trait RawTable: Send + Sync {
    /// Hands key and value of each row from this key on to `each`, until that returns false.
    fn rows(
        &self,
        txn: &ReadTransaction,
        from: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), redb::Error>;

    /// Puts a row into it.
    fn put(&self, txn: &WriteTransaction, key: &[u8], value: &[u8]) -> Result<(), redb::Error>;

    /// Removes all rows.
    fn clear(&self, txn: &WriteTransaction) -> Result<(), redb::Error>;
}

struct Raw<K: Key + Send + Sync + 'static, V: Value + Send + Sync + 'static>(TableDefinition<'static, K, V>);

/// Returns a table as one whose rows are copied.
pub(crate) fn raw<K: Key + Send + Sync + 'static, V: Value + Send + Sync + 'static>(
    table: TableDefinition<'static, K, V>,
) -> Box<dyn RawTable> {
    Box::new(Raw(table))
}

impl<K: Key + Send + Sync + 'static, V: Value + Send + Sync + 'static> RawTable for Raw<K, V> {
    fn rows(
        &self,
        txn: &ReadTransaction,
        from: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), redb::Error> {
        let table = match txn.open_table(self.0) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            opened => opened?,
        };
        let rows = if from.is_empty() { table.iter()? } else { table.range(K::from_bytes(from)..)? };
        for row in rows {
            let (key, value) = row?;
            let (key, value) = (key.value(), value.value());
            if !each(K::as_bytes(&key).as_ref(), V::as_bytes(&value).as_ref()) {
                break;
            }
        }
        Ok(())
    }

    fn put(&self, txn: &WriteTransaction, key: &[u8], value: &[u8]) -> Result<(), redb::Error> {
        txn.open_table(self.0)?.insert(K::from_bytes(key), V::from_bytes(value))?;
        Ok(())
    }

    fn clear(&self, txn: &WriteTransaction) -> Result<(), redb::Error> {
        txn.delete_table(self.0)?;
        txn.open_table(self.0)?;
        Ok(())
    }
}

/// Place in a stream: a row, and the bytes of it that were given before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Place {
    table: usize,
    key: Vec<u8>,
    given: usize,
}

/// Returns up to `max` bytes of the stream from this place on, and where it goes on, if it does.
pub(crate) fn piece(
    tables: &[Box<dyn RawTable>],
    txn: &ReadTransaction,
    from: &Place,
    max: usize,
) -> Result<(Vec<u8>, Option<Place>), redb::Error> {
    let mut bytes = Vec::new();
    let mut next = None;
    for (at, table) in tables.iter().enumerate().skip(from.table) {
        let is_first = at == from.table;
        let begin = if is_first { from.key.as_slice() } else { &[] };
        table.rows(txn, begin, &mut |key, value| {
            let given = if is_first && key == begin { from.given } else { 0 };
            let row = row_of(at, key, value);
            let more = &row[given.min(row.len())..];
            let taken = more.len().min(max - bytes.len());
            bytes.extend(&more[..taken]);
            if taken < more.len() {
                next = Some(Place { table: at, key: key.to_vec(), given: given + taken });
            }
            next.is_none()
        })?;
        if next.is_some() {
            break;
        }
    }
    Ok((bytes, next))
}

fn row_of(table: usize, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut row = vec![table as u8];
    row.extend((key.len() as u32).to_le_bytes());
    row.extend((value.len() as u32).to_le_bytes());
    row.extend(key);
    row.extend(value);
    row
}

/// Reads the rows of a stream, which `read` gives bit by bit, into tables.
pub(crate) fn put_all(
    tables: &[Box<dyn RawTable>],
    txn: &WriteTransaction,
    stream: &mut impl std::io::Read,
) -> Result<(), redb::Error> {
    let mut head = [0; HEAD_LEN];
    loop {
        match stream.read(&mut head[..1])? {
            0 => return Ok(()),
            _ => stream.read_exact(&mut head[1..])?,
        }
        let length = |at: usize| {
            let bytes = head[at..at + 4].try_into().map(u32::from_le_bytes);
            bytes.map(|length| length as usize).ok().filter(|length| *length <= FIELD_MAX)
        };
        let (Some(table), Some(key), Some(value)) = (tables.get(usize::from(head[0])), length(1), length(5))
        else {
            return Err(redb::Error::Corrupted("it is no copy of a store".into()));
        };
        let mut row = vec![0; key + value];
        stream.read_exact(&mut row)?;
        table.put(txn, &row[..key], &row[key..])?;
    }
}
