//! Waits with an optional limit.

use std::time::Duration;

/// Ends after this time; without a time, never.
pub(crate) async fn limit(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
