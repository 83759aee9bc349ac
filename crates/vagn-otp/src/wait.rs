//! Waits with an optional limit.

use std::time::Duration;

use crate::sync::time;

/// Longest piece of a wait. A process that was frozen, or starved, loses one piece of the time that it grants its children, and
/// not all of it: they were frozen as well.
const PIECE: Duration = Duration::from_millis(250);

/// Ends after this time; without a time, never.
pub(crate) async fn limit(time: Option<Duration>) {
    let Some(mut left) = time else { return std::future::pending().await };
    while !left.is_zero() {
        let piece = left.min(PIECE);
        time::sleep(piece).await;
        left -= piece;
    }
}
