//! Limits of a connection: above all of the length of each wait.

use std::time::Duration;

use crate::config::TcpSettings;
use vagn_http::socket::KEPT_MAX;

/// Bounds of the TCP door. None of them is reached by a client that behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// For the TLS handshake as a whole.
    pub(super) handshake: Duration,
    /// From one whole object to the next. A client that sends byte by byte gains no time by it.
    pub(super) idle: Duration,
    /// For the fates of one batch to be known. A slow disk takes a second, so this is a fault of ours.
    pub(super) answer: Duration,
    /// For a client to take its acks.
    pub(super) write: Duration,
    /// For the end of TLS where a newcomer waits for the descriptor.
    pub(super) farewell: Duration,
    /// For the kernel to get rid of acks while the connection is open. A vehicle in a tunnel takes none, and has as long as one that is silent.
    pub(super) kept: Duration,
    /// For which a stopping door reads on what is already on its way, and a closing one waits for the client's end.
    pub(super) linger: Duration,
    /// Batches per connection whose fates are not known yet; beyond, it is not read from.
    pub(super) outstanding: usize,
}

impl Limits {
    pub(super) fn new(settings: &TcpSettings) -> Self {
        Self {
            handshake: Duration::from_secs(10),
            idle: settings.idle_timeout.into(),
            answer: Duration::from_secs(30),
            write: Duration::from_secs(10),
            farewell: Duration::from_secs(1),
            kept: KEPT_MAX.max(settings.idle_timeout.into()),
            linger: Duration::from_millis(250),
            outstanding: 16,
        }
    }
}
