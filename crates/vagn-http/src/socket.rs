//! A connection's socket: its options, and the account of what it has taken of all that was written to it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tracing::debug;

/// Bytes that the kernel takes beyond what it has sent. Without a limit it takes megabytes for a peer that reads nothing, and
/// only then could be seen that it does not.
const UNSENT_MAX: u32 = 64 << 10;

/// Longest time for which the kernel keeps what a peer does not take. Without a limit it keeps the rest of a connection that was closed
/// here for as long as the peer says that it has no room, where it is in no account and nothing else would end it. Twice as long as
/// an answer may wait, so that it is the watch that ends an open connection.
pub const KEPT_MAX: Duration = Duration::from_secs(60);

/// Lets a peer that does not read be noticed early, and its answers wait here, where they are counted.
pub fn tune(stream: &TcpStream) {
    // Each by itself: a kernel that refuses one of them may take the other.
    note(SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_MAX));
    keep(stream, KEPT_MAX);
}

/// Lets the kernel keep for so long what the peer does not take. Then it ends the connection, open or closed.
pub fn keep(stream: &TcpStream, max: Duration) {
    // The kernel takes a signed number of milliseconds, 24 days.
    let max = max.min(Duration::from_millis(i32::MAX as u64));
    note(SockRef::from(stream).set_tcp_user_timeout(Some(max)));
}

/// Logs a limit that was not set: the service works without it, but sees a peer that does not read later.
fn note(limited: io::Result<()>) {
    if let Err(err) = limited {
        debug!(error = %err, "failed to limit what the kernel takes of an answer");
    }
}

/// A stream whose kernel may keep what was written when it is closed.
pub(crate) trait Abandon {
    /// Lets the kernel throw away what it has not sent, and tell the peer, when the stream is closed.
    fn abandon(&self);
}

impl Abandon for TcpStream {
    fn abandon(&self) {
        if let Err(err) = SockRef::from(self).set_linger(Some(Duration::ZERO)) {
            debug!(error = %err, "failed to give up what the kernel has of an answer");
        }
    }
}

/// Output of a connection: a socket, or a layer of TLS above one.
pub(crate) trait Output: AsyncWrite + Unpin + Abandon {
    /// Returns the bytes that the socket has taken: those are on their way.
    fn sent(&self) -> u64;

    /// Returns the bytes that the layer holds above the socket, which has not taken them.
    fn held(&self) -> usize;
}

/// A socket that counts what it takes.
#[derive(Debug)]
pub(crate) struct Socket<S> {
    stream: S,
    taken: u64,
    /// Bytes of the last write that were not taken. TLS offers all that it holds each time.
    untaken: usize,
    /// Bytes that were taken of the first piece that is left. TLS keeps each piece until all of it is taken.
    begun: usize,
}

impl<S> Socket<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, taken: 0, untaken: 0, begun: 0 }
    }

    /// Returns the bytes that a writer keeps which frees its pieces one by one.
    fn kept(&self) -> usize {
        self.untaken + self.begun
    }

    fn note(&mut self, offered: &[IoSlice<'_>], written: &Poll<io::Result<usize>>) {
        let taken = if let Poll::Ready(Ok(taken)) = written { *taken } else { 0 };
        self.taken += taken as u64;
        self.untaken = offered.iter().map(|piece| piece.len()).sum::<usize>() - taken;
        let mut taken = taken;
        for piece in offered {
            if taken < piece.len() {
                break;
            }
            taken -= piece.len();
            self.begun = 0;
        }
        self.begun += taken;
    }
}

impl<S: Abandon> Abandon for Socket<S> {
    fn abandon(&self) {
        self.stream.abandon();
    }
}

impl<S: Abandon> Abandon for TlsStream<Socket<S>> {
    fn abandon(&self) {
        self.get_ref().0.abandon();
    }
}

impl<S: AsyncWrite + Unpin + Abandon> Output for Socket<S> {
    fn sent(&self) -> u64 {
        self.taken
    }

    fn held(&self) -> usize {
        // What it does not take stays with the writer.
        0
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Abandon> Output for TlsStream<Socket<S>> {
    fn sent(&self) -> u64 {
        self.get_ref().0.taken
    }

    fn held(&self) -> usize {
        self.get_ref().0.kept()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(&[IoSlice::new(bytes)], &written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(slices, &written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    impl Abandon for tokio::io::DuplexStream {
        fn abandon(&self) {}
    }

    #[tokio::test]
    async fn the_kernel_keeps_little_and_not_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tune(&stream);
        let socket = SockRef::from(&stream);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(KEPT_MAX));
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_MAX);
        for (asked, kept) in [(300_000, 300_000), (u64::MAX, i32::MAX as u64)] {
            keep(&stream, Duration::from_millis(asked));
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_millis(kept)));
        }
    }

    #[test]
    fn a_piece_that_was_begun_is_held_whole_until_its_last_byte_is_taken() {
        let mut socket = Socket::new(());
        let mut pieces = vec![vec![0; 100], vec![0; 100], vec![0; 50]];
        for (taken, held) in
            [(None, 250), (Some(30), 250), (None, 250), (Some(60), 250), (Some(35), 150), (Some(124), 50)]
        {
            let offered: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            socket.note(&offered, &taken.map_or(Poll::Pending, |taken| Poll::Ready(Ok(taken))));
            assert_eq!(socket.kept(), held, "{taken:?}");
            // As TLS does.
            let mut taken = taken.unwrap_or(0);
            for piece in &mut pieces {
                let of_this = taken.min(piece.len());
                drop(piece.drain(..of_this));
                taken -= of_this;
            }
            pieces.retain(|piece| !piece.is_empty());
        }
        let offered: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        socket.note(&offered, &Poll::Ready(Ok(1)));
        assert_eq!((socket.untaken, socket.begun, socket.taken), (0, 0, 250));
    }
}
