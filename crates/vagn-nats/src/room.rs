//! Room of the streams. Brokers *reserve* the bytes that a stream may have, so what is asked for must fit all shards together.
//!
//! An account with a limit tells it. One without tells nothing, and the brokers' own room is known to their operators alone: then streams are
//! tried, and removed. A refusal alone would not do for the shards one after another: brokers count reservations of the last seconds late,
//! and promise more than they have (measured: 1.2 GB of 1 GB).

use serde::Deserialize;
use tokio::time::{Duration, Instant, sleep};

use crate::api::Said;
use crate::brokers::{Brokers, answer_by};
use crate::stream::{Info, LEAST, StreamConfig};

/// Part of the room that streams of shards get; the rest is for records, other users of the brokers, and the brokers themselves.
const SHARE: (u64, u64) = (3, 4);

/// Most room that a stream asks for: half an hour of a very busy shard. More would only be reserved.
const MOST: u64 = 64 << 30;

/// Part of the room of all shards that the trail gets: a sixteenth of what was free. With records and registry it stays within the quarter that
/// shards leave.
const TRAIL_PART: u64 = 12;

/// Most room that the trail asks for.
const TRAIL_MOST: u64 = 8 << 30;

/// Steps in which the largest room that is granted is narrowed down.
const STEPS: u32 = 4;

/// Time for which the room of a stream that was removed may count: what is refused within it is asked for again.
const COUNTED_FOR: Duration = Duration::from_secs(1);

/// Pause before brokers are asked again.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
struct Listed {
    streams: Option<Vec<Info>>,
}

#[derive(Deserialize)]
struct AccountInfo {
    limits: AccountLimits,
    #[serde(default)]
    reserved_storage: u64,
}

#[derive(Deserialize)]
struct AccountLimits {
    max_storage: i64,
}

impl Brokers {
    /// Returns the room in bytes that each of so many shards' streams has or can have. None when no broker answers by then.
    ///
    /// Ask before the node is made: [`Settings::stream_bytes`](vagn_cluster::Settings::stream_bytes) is what streams are made with.
    pub async fn stream_bytes(&self, shards: u16, by: Instant) -> Option<u64> {
        loop {
            if let Some(bytes) = self.room(shards).await {
                return Some(bytes);
            }
            if Instant::now() >= by {
                return None;
            }
            sleep(PAUSE).await;
        }
    }

    async fn room(&self, shards: u16) -> Option<u64> {
        let subject = serde_json::json!({ "subject": self.names().subjects() });
        let Said::Is(listed) =
            self.ask::<Listed>(0, "$JS.API.STREAM.LIST".to_owned(), &subject, answer_by()).await
        else {
            return None;
        };
        let made = listed.streams.into_iter().flatten().map(|info| info.config.max_bytes);
        // Those of an epoch before may be smaller.
        if let Some(bytes) = made.filter_map(|bytes| u64::try_from(bytes).ok()).max() {
            return Some(bytes);
        }
        let Said::Is(account) = self.ask::<AccountInfo>(0, "$JS.API.INFO".to_owned(), &(), answer_by()).await
        else {
            return None;
        };
        match u64::try_from(account.limits.max_storage) {
            // The limit is for all replicas together.
            Ok(limit) => {
                let free = limit.saturating_sub(account.reserved_storage) / u64::from(self.replicas());
                Some(share(free, shards))
            }
            Err(_) => self.try_room(shards).await,
        }
    }

    /// Finds the largest stream that brokers would make.
    async fn try_room(&self, shards: u16) -> Option<u64> {
        let enough = u64::from(shards.max(1)) * MOST / SHARE.0 * SHARE.1;
        let mut refused = enough.saturating_mul(2);
        let mut granted = 0;
        // Halved until it is granted, then narrowed down.
        let mut bytes = enough;
        for _ in 0..u64::BITS {
            if self.is_granted(bytes).await? {
                granted = bytes;
            } else {
                refused = bytes;
            }
            if granted > 0 || bytes <= LEAST {
                break;
            }
            bytes /= 2;
        }
        let mut removed = Instant::now();
        for _ in 0..STEPS {
            if granted == 0 || granted >= enough {
                break;
            }
            let middle = granted + (refused - granted) / 2;
            if self.is_granted_behind(removed, middle).await? {
                granted = middle;
                removed = Instant::now();
            } else {
                refused = middle;
            }
        }
        Some(share(granted, shards))
    }

    /// Does as [`is_granted`](Self::is_granted) a moment after another stream was removed.
    async fn is_granted_behind(&self, removed: Instant, bytes: u64) -> Option<bool> {
        while !self.is_granted(bytes).await? {
            if removed.elapsed() >= COUNTED_FOR {
                return Some(false);
            }
            sleep(PAUSE).await;
        }
        Some(true)
    }

    async fn is_granted(&self, bytes: u64) -> Option<bool> {
        let (name, subject) = self.names().trial(self.run() ^ bytes);
        let config = StreamConfig::new(name.clone(), subject, bytes, self.replicas());
        match self.create(config, answer_by()).await {
            Said::Is(_) => {
                self.delete(name).await;
                Some(true)
            }
            Said::Refused(_) => Some(false),
            Said::Nothing => {
                // It may have been made all the same.
                self.delete(name).await;
                None
            }
        }
    }
}

/// Returns the room of each shard's stream when so much is free.
fn share(free: u64, shards: u16) -> u64 {
    part(free, shards).clamp(LEAST, MOST)
}

/// Returns the room in bytes that the stream of the trail is made with, where each of so many shards' streams has so much.
pub fn trail_bytes(stream_bytes: u64, shards: u16) -> u64 {
    let all = stream_bytes.saturating_mul(u64::from(shards.max(1)));
    (all / TRAIL_PART).clamp(LEAST, TRAIL_MOST)
}

/// Returns the part of what is free for each shard's stream, before the bounds.
pub(crate) fn part(free: u64, shards: u16) -> u64 {
    free / SHARE.1 * SHARE.0 / u64::from(shards.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shards_fit_into_three_quarters_of_what_is_free() {
        assert_eq!(share(64 << 30, 8), 6 << 30);
        assert_eq!(share(64 << 30, 256), (64 << 30) / 4 * 3 / 256);
        assert_eq!((share(0, 8), share(u64::MAX, 8)), (LEAST, MOST));
    }

    #[test]
    fn the_trail_gets_a_sixteenth_of_what_was_free() {
        for (free, shards) in [(64 << 30, 8), (4 << 30, 1), (8 << 30, 256)] {
            assert_eq!(trail_bytes(share(free, shards), shards), free / 16);
        }
        assert_eq!((trail_bytes(LEAST, 1), trail_bytes(MOST, 256)), (LEAST, TRAIL_MOST));
    }
}
