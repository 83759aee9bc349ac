//! What others see of the lane: views for the API, the feed, and gauges.

pub mod feed;
pub(crate) mod gauges;
pub(crate) mod telling;
pub mod view;
