//! The census: who of the fleet has been there for long, learned by looking.

mod live_fleet;
mod rows;

pub use live_fleet::LiveFleet;
