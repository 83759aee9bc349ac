//! Tests of desk and office: two nodes that apply the same groups, step by step and without a driver; then nodes as they are, with the driver of
//! the trail, with and without brokers.

mod alone;
mod asked;
mod before;
pub(super) mod bench;
mod cluster;
mod copies;
mod desk;
mod joined;
mod kept;
mod limits;
mod machine;
#[expect(dead_code, reason = "the tests of vagn-nats do more with brokers")]
#[path = "../../../../vagn-nats/tests/it/processes.rs"]
mod processes;
mod shown;
