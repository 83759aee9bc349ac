//! Bodies of which nothing can be taken.

use crate::dialect::reports::TooMany;

/// The reason why nothing of a body is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// Not even one object begins in the body; the parser says what it found.
    #[error("the body is not JSON positions: {0}; nothing of it was taken")]
    NotReports(String),
    /// The body holds more reports than one request may hold.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}
