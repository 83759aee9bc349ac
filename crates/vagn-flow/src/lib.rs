//! What flows between the stages, and what is owed for it.
//!
//! A door seals raw reports into a [`batch`] under one [`stamp`] and publishes it. A [`fate`] is owed for each report,
//! and a [`reply`] to each sender that asked for one. Every stage above shares these types; none of them knows a stage.

pub mod batch;
pub mod clock;
pub mod fate;
pub mod metrics;
pub mod readiness;
pub mod reply;
pub mod rfc3339;
pub mod stamp;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
