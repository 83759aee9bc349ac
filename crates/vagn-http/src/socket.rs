//! Options of a connection's socket.

use socket2::SockRef;
use tokio::net::TcpStream;
use tracing::debug;

/// Bytes that the kernel takes beyond what it has sent. Without a limit it takes megabytes for a peer that reads nothing, and
/// only then could be seen that it does not.
const UNSENT_MAX: u32 = 64 << 10;

/// Lets a peer that does not read be noticed early, and its answers wait here, where they are counted.
pub(crate) fn tune(stream: &TcpStream) {
    if let Err(err) = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_MAX) {
        // It works without: only later.
        debug!(error = %err, "failed to limit what the kernel takes of an answer");
    }
}
