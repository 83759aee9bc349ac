//! What people say about the service, the same at every node: a bucket at the brokers, and this node's copy of it.
//!
//! | file | holds |
//! |---|---|
//! | `keys.rs` | keys of objects in the bucket |
//! | `source.rs` | the bucket as it is read and written, over the way to the node |
//! | `seed.rs` | a bucket is begun: with all that a copy has, if there is one |
//! | `keeper.rs` | follows the bucket into the copy, and compares both |
//! | `copier.rs` | copies it once, and writes nothing |
//! | `outlook.rs` | what operators hear of it |

mod copier;
mod keeper;
mod keys;
mod outlook;
mod seed;
mod source;
#[cfg(test)]
mod tests;

pub use copier::{NoCopy, PROVEN_AFTER, TakesNothing, copy};
pub use keeper::{Keeper, KeeperParts};
pub use keys::{of_bucket, to_bucket};
pub use outlook::{CopyMetrics, REGISTRY};
pub use source::{ToBrokers, Way};
