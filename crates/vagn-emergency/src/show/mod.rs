//! What others see of the lane: views for the API, the feed, and gauges.

pub(crate) mod announcer;
pub mod feed;
pub(crate) mod gauges;
pub mod targets;
pub mod view;
mod words;
