//! Batches of reports between the stages, and the answers that are owed for them.
//!
//! A door fills a [`batch`] with raw reports; the [`intake`] seals it under one [`stamp`] and publishes it. The stages
//! [`open`](mod@open) the reports. A [`fate`] is owed for each report,
//! a [`receipt`] to each sender that waits, and a [`reply`] to each datagram that asked for one. [`Allowances`](allowance::Allowances) bound what a
//! single source may use. Every stage above shares these types; none of them knows a stage.

pub mod allowance;
pub mod answers;
pub mod batch;
pub mod clock;
pub mod descriptors;
pub mod fate;
pub mod guard;
pub mod intake;
pub mod kernel_clock;
pub mod mark;
pub mod metrics;
pub mod open;
pub mod peer;
pub mod proof;
pub mod readiness;
pub mod receipt;
pub mod reply;
pub mod rfc3339;
pub mod stamp;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod trust;
