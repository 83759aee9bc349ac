//! Standing: what is known of a vehicle that raises an alarm, apart from the alarm itself.

use serde::{Deserialize, Serialize};

/// Standing of a vehicle when it raised its first alarm, or as soon as it could be looked up. Ordered: the first goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// The vehicle reported before the alarm.
    Known,
    /// It could not be looked up yet, and is looked up again. It goes before strangers, and takes nothing from a known vehicle.
    Undecided,
    /// The vehicle did not report before the alarm.
    Stranger,
}
