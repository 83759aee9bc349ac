//! The disk under the incident store: space set aside, syncs that are watched, and copies.

#[cfg(test)]
pub(crate) mod forgetful;
pub(crate) mod raw;
pub(crate) mod reserve;
pub(crate) mod rows;
pub(crate) mod watched;
