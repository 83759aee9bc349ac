//! Standing: what is known of a vehicle that raises an alarm, apart from the alarm itself.

use serde::{Deserialize, Serialize};

/// Standing of a vehicle when it raised its first alarm. Ordered: the first goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// The vehicle reported before the alarm.
    Known,
    /// It could not be looked up in time. It is notified like a known vehicle, but takes no room from one.
    Undecided,
    /// The vehicle did not report before the alarm.
    Stranger,
}

impl Standing {
    /// Standing in a queue: to serve an undecided vehicle after the known ones could delay a known one.
    pub fn in_queue(self) -> Self {
        match self {
            Self::Known | Self::Undecided => Self::Known,
            Self::Stranger => Self::Stranger,
        }
    }
}
