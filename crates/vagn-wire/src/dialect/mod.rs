//! Bodies that hold many reports, in each dialect that is understood.
//!
//! A dialect cuts a body into [`Reports`], each of them the msgpack that a vehicle would have sent. So one decoder judges
//! all reports alike, in whatever dialect they came.

pub mod json;
pub mod msgpack;
mod reports;

pub use reports::{REPORTS_MAX, Reports, TooMany};
