//! Reasons why a report could not be used.

/// Reason why a report, or its position, is not used. The list is closed: each entry is a label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reject {
    /// Has no byte at all.
    #[error("datagram is empty")]
    Empty,
    /// Longer than a datagram or an object on a stream may be.
    #[error("message is longer than 2048 bytes")]
    TooLong,
    /// Holds the one byte that begins nothing in msgpack, `0xc1`.
    #[error("message is not msgpack")]
    NotMsgpack,
    /// Ends before everything that it announced.
    #[error("message ends too early")]
    Truncated,
    /// Well-formed, but neither a map nor an array of four.
    #[error("message is neither a map nor an array of four")]
    NotAReport,
    /// No vehicle id, or nil in its place.
    #[error("vehicle id is missing")]
    NoId,
    /// The vehicle id is empty, longer than 64 bytes, not UTF-8, or holds control characters.
    #[error("vehicle id is not 1 to 64 bytes of utf-8 without control characters")]
    BadId,
    /// No latitude, or nil in its place.
    #[error("latitude is missing")]
    NoLatitude,
    /// No longitude, or nil in its place.
    #[error("longitude is missing")]
    NoLongitude,
    /// The latitude is off the globe or not finite.
    #[error("latitude is not within -90..=90")]
    Latitude,
    /// The longitude is off the globe or not finite.
    #[error("longitude is not within -180..=180")]
    Longitude,
    /// `ID`, `Lat` or `Lon` has a value of a wrong type.
    #[error("a required field has the wrong type")]
    BadType,
    /// The position is exactly (0, 0), and the vehicle was not last near there. Found by the service, which knows where it was.
    #[error("position is exactly (0, 0), which means that there was no fix")]
    NoFix,
    /// A gateway sent it without a time that counts, by which alone a repeat under another key could be told.
    #[error("a gateway must send Ts, the time of the position")]
    NoTime,
}

impl Reject {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 14] = [
        Self::Empty,
        Self::TooLong,
        Self::NotMsgpack,
        Self::Truncated,
        Self::NotAReport,
        Self::NoId,
        Self::BadId,
        Self::NoLatitude,
        Self::NoLongitude,
        Self::Latitude,
        Self::Longitude,
        Self::BadType,
        Self::NoFix,
        Self::NoTime,
    ];

    /// Returns the label under which it is counted, in snake case.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::NotMsgpack => "not_msgpack",
            Self::Truncated => "truncated",
            Self::NotAReport => "not_a_report",
            Self::NoId => "no_id",
            Self::BadId => "bad_id",
            Self::NoLatitude => "no_latitude",
            Self::NoLongitude => "no_longitude",
            Self::Latitude => "latitude",
            Self::Longitude => "longitude",
            Self::BadType => "bad_type",
            Self::NoFix => "no_fix",
            Self::NoTime => "no_time",
        }
    }
}

/// Index in a table by reason: `ALL[reject as usize] == reject`.
impl From<Reject> for usize {
    fn from(reject: Reject) -> Self {
        reject as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_distinct_and_in_order() {
        for (index, reject) in Reject::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(reject), index);
            assert!(Reject::ALL[..index].iter().all(|earlier| earlier.reason() != reject.reason()));
        }
    }
}
