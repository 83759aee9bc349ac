//! The file of the registry: `tables` has its form, `open` makes and opens it, `write` changes it, `wrap` wraps the secrets
//! in one that has them in clear, `copy` copies it for a backup.

mod copy;
mod open;
mod tables;
mod wrap;
mod write;

pub(crate) use copy::{check, copy, settle};
pub(crate) use open::{open, open_on, open_to_read};
pub(crate) use tables::{CLOSED, META, NAMES, OBJECTS, REVISION, count_key};
pub(crate) use write::{set_number, write};
