//! Gathering: what a connection writes while it is polled goes to the socket at the end, in one piece.
//!
//! HTTP/2 flushes after each frame of data, and so each frame would be a write of its own, with records of TLS of its own. To send and to be
//! woken is most of what a viewer costs; so a second's answers to a map, or the changes in its box, are one write.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes that are gathered: about what the kernel sends at once.
const GATHERED_MAX: usize = 64 << 10;

thread_local! {
    /// Memory for what is gathered next on this thread: most is sent at once, and to get so much anew each time would cost as much as to
    /// encrypt it.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A stream whose output is gathered. Clones are the same one: the connection writes to one, and who polls it sends with the other.
#[derive(Debug)]
pub(crate) struct Gathering<S>(Arc<Mutex<Gathered<S>>>);

#[derive(Debug)]
struct Gathered<S> {
    stream: S,
    /// What was written and not sent.
    bytes: Vec<u8>,
    /// Bytes of it that the stream has taken.
    taken: usize,
    /// Bytes that the stream has taken of all that was written.
    sent: u64,
}

/// What has become of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes that wait for the socket.
    pub(crate) waiting: usize,
    /// Bytes that it has taken.
    pub(crate) sent: u64,
}

impl<S> Clone for Gathering<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: AsyncWrite + Unpin> Gathering<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self(Arc::new(Mutex::new(Gathered { stream, bytes: Vec::new(), taken: 0, sent: 0 })))
    }

    /// Sends what was gathered. To be called after each time that the connection was polled, which itself only says that it flushes.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_send(cx)
    }

    pub(crate) fn progress(&self) -> Progress {
        let gathered = self.0.lock();
        Progress { waiting: gathered.bytes.len() - gathered.taken, sent: gathered.sent }
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.taken < self.bytes.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.bytes[self.taken..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => {
                    self.taken += taken;
                    self.sent += taken as u64;
                }
            }
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        // Without its memory: most connections are silent for most of the time.
        let mut spare = std::mem::take(&mut self.bytes);
        spare.clear();
        SPARE.set(spare);
        self.taken = 0;
        Poll::Ready(Ok(()))
    }

    /// Makes room for so many bytes, or for as many as there can be.
    fn poll_room(&mut self, len: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.bytes.len() + len > GATHERED_MAX {
            ready!(self.poll_send(cx))?;
        }
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.take();
            self.bytes.reserve_exact(GATHERED_MAX);
        }
        Poll::Ready(Ok(GATHERED_MAX - self.bytes.len()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathering<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathering<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let gathered = &mut *self.0.lock();
        let len = slices.iter().map(|slice| slice.len()).sum();
        let room = ready!(gathered.poll_room(len, cx))?;
        let mut left = room.min(len);
        for slice in slices {
            let some = &slice[..slice.len().min(left)];
            gathered.bytes.extend_from_slice(some);
            left -= some.len();
        }
        Poll::Ready(Ok(room.min(len)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Leaves it to [`Gathering::poll_send`].
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gathered = &mut *self.0.lock();
        ready!(gathered.poll_send(cx))?;
        Pin::new(&mut gathered.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// A socket that takes so many bytes before it has to be waited for, and notes its writes.
    #[derive(Debug)]
    struct Socket {
        room: usize,
        writes: Vec<usize>,
    }

    impl AsyncWrite for Socket {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = self.room.min(bytes.len());
            if taken == 0 {
                return Poll::Pending;
            }
            self.room -= taken;
            self.writes.push(taken);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn socket(room: usize) -> Gathering<Socket> {
        Gathering::new(Socket { room, writes: Vec::new() })
    }

    fn writes(output: &Gathering<Socket>) -> Vec<usize> {
        output.0.lock().stream.writes.clone()
    }

    fn send(output: &Gathering<Socket>) -> Poll<()> {
        output.poll_send(&mut Context::from_waker(Waker::noop())).map(Result::unwrap)
    }

    #[tokio::test]
    async fn what_is_written_and_flushed_piece_by_piece_goes_out_at_once() {
        let output = socket(usize::MAX);
        let mut stream = output.clone();
        for len in [9, 16 << 10, 9, 16 << 10] {
            stream.write_all(&vec![0; len]).await.unwrap();
            stream.flush().await.unwrap();
        }
        assert_eq!((writes(&output), output.progress().waiting), (vec![], (32 << 10) + 18));
        assert_eq!(send(&output), Poll::Ready(()));
        assert_eq!((writes(&output), output.progress().waiting), (vec![(32 << 10) + 18], 0));
    }

    #[tokio::test]
    async fn what_is_more_than_may_be_gathered_goes_out_before() {
        let output = socket(usize::MAX);
        output.clone().write_all(&vec![0; 2 * GATHERED_MAX + 1]).await.unwrap();
        assert_eq!((writes(&output), output.progress().waiting), (vec![GATHERED_MAX; 2], 1));
    }

    #[tokio::test]
    async fn a_socket_that_takes_a_part_gets_the_rest_later_and_no_more_is_gathered_than_may_be() {
        let output = socket(3);
        let mut stream = output.clone();
        stream.write_all(&vec![0; GATHERED_MAX]).await.unwrap();
        assert_eq!((send(&output), output.progress().waiting), (Poll::Pending, GATHERED_MAX - 3));
        let more = Pin::new(&mut stream).poll_write(&mut Context::from_waker(Waker::noop()), &[0]);
        assert!(more.is_pending());
        output.0.lock().stream.room = usize::MAX;
        stream.shutdown().await.unwrap();
        assert_eq!((writes(&output), output.progress().waiting), (vec![3, GATHERED_MAX - 3], 0));
    }
}
