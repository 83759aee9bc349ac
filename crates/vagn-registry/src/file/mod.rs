//! The file of the registry: `tables` has its form, `open` makes and opens it, `write` changes it, `wrap` wraps the secrets
//! in one that has them in clear, `copy` copies it for a backup; `copied` is for a file that is the copy of a bucket.

mod copied;
mod copy;
mod open;
mod tables;
mod wrap;
mod write;

pub(crate) use copied::{Seen, Told, begin_copy, finish_copy, note_compared, plan, seen, take};
pub(crate) use copy::{check, copy, settle};
pub(crate) use open::{open, open_on, open_to_read};
pub(crate) use tables::{
    CLOSED, COMPARED, COPYING, INCARNATION, META, NAMES, NODE_MARK, OBJECTS, REVISION, SEQUENCE, count_key,
};
pub(crate) use write::{set_number, write};
