//! Limits of a connection: their number, and how long each wait may last.

use std::time::Duration;

use crate::config::TcpSettings;

/// Open files that are kept for everything that is not a TCP connection: the log, the API, the requests to targets.
const FILES_KEPT: u64 = 256;

/// Bounds of the TCP door. None of them is reached by a client that behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Most connections at a time.
    pub(super) connections: usize,
    /// For the TLS handshake as a whole.
    pub(super) handshake: Duration,
    /// From one whole object to the next. A client that sends byte by byte gains no time by it.
    pub(super) idle: Duration,
    /// For the fates of one batch to be known. A slow disk takes a second, so this is a fault of ours.
    pub(super) answer: Duration,
    /// For a client to take its acks.
    pub(super) write: Duration,
    /// For which a stopping door reads on what is already on its way, and a closing one waits for the client's end.
    pub(super) linger: Duration,
    /// Batches per connection whose fates are not known yet; beyond, it is not read from.
    pub(super) outstanding: usize,
}

impl Limits {
    /// As set, but no more connections than the process may have open `files` for, of which the web wants as many.
    pub(super) fn new(settings: &TcpSettings, files: u64) -> Self {
        let affordable = files.saturating_sub(FILES_KEPT) / 2;
        let wanted = u64::from(settings.max_connections);
        if affordable < wanted {
            tracing::info!(
                wanted,
                affordable,
                "fewer tcp connections than set: raise the limit of open files (ulimit -n, LimitNOFILE=)"
            );
        }
        Self {
            connections: usize::try_from(wanted.min(affordable)).unwrap_or(usize::MAX).max(1),
            handshake: Duration::from_secs(10),
            idle: settings.idle_timeout.into(),
            answer: Duration::from_secs(30),
            write: Duration::from_secs(10),
            linger: Duration::from_millis(250),
            outstanding: 16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_files_for_the_others() {
        let settings = TcpSettings { max_connections: 10_000, ..TcpSettings::default() };
        let connections = |files| Limits::new(&settings, files).connections;
        assert_eq!(connections(1_048_576), 10_000);
        assert_eq!(connections(4_096), 1_920);
        assert_eq!(connections(100), 1);
    }
}
