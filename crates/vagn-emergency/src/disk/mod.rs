//! The disk under the incident store: space set aside, and syncs that are watched.

#[cfg(test)]
pub(crate) mod forgetful;
pub(crate) mod reserve;
pub(crate) mod watched;
