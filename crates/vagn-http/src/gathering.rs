//! Gathering: the output that a connection writes while it is polled goes to the socket at the end, in one piece.
//!
//! HTTP/2 flushes after each frame of data, and so each frame would be a write of its own, with records of TLS of its own. To send and to be
//! woken is most of what a viewer costs; so a second's answers to a map, or the changes in its box, are one write.
//!
//! Memory for it is granted while there is room. Without, a connection gathers crumbs: the rest stays where it was, among the answers, which have
//! an account and ranks of their own. So peers that read nothing cost others a few writes more, and no connection is ever ended to make room.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::account::Portion;
use super::caller::Caller;
use super::socket::Output;

/// Most bytes that wait for the socket, here and in the layer of TLS together: about what the kernel sends at once.
const GATHERED_MAX: usize = 64 << 10;
/// Bytes that each connection may gather in any case: most answers to deeds are shorter.
const CRUMB: usize = 4 << 10;
/// Least bytes that are gathered at a time while the socket takes little.
const LEAST: usize = 16 << 10;

thread_local! {
    /// Memory for what is gathered next on this thread: most is sent at once, and to get so much anew each time would cost as much as to
    /// encrypt it.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A stream whose output is gathered. Clones are the same one: the connection writes to one, and the task that polls it sends with the other.
#[derive(Debug)]
pub(crate) struct Gathering<S>(Arc<Mutex<Gathered<S>>>);

#[derive(Debug)]
struct Gathered<S> {
    stream: S,
    /// Output that was written and not handed on.
    bytes: Vec<u8>,
    /// Bytes of it that the stream has taken.
    taken: usize,
    /// True when the stream has nothing left to flush.
    is_flushed: bool,
    /// Memory for more than a crumb.
    portion: Portion,
    /// Bytes that the socket had taken when there was no such memory.
    refused_at: Option<u64>,
    caller: Caller,
}

impl<S> Clone for Gathering<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Output> Gathering<S> {
    pub(crate) fn new(stream: S, caller: &Caller) -> Self {
        Self(Arc::new(Mutex::new(Gathered {
            stream,
            bytes: Vec::new(),
            taken: 0,
            is_flushed: true,
            portion: caller.owe_unsent(0),
            refused_at: None,
            caller: caller.clone(),
        })))
    }

    /// Sends what was gathered. To be called after each time that the connection was polled, which itself only says that it flushes.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = self.0.lock();
        let sent = gathered.poll_send(cx);
        gathered.shrink();
        sent
    }

    /// Returns the bytes that the socket has taken.
    pub(crate) fn sent(&self) -> u64 {
        self.0.lock().stream.sent()
    }

    /// Lets the kernel throw away what it has not sent when this is dropped.
    pub(crate) fn abandon(&self) {
        self.0.lock().stream.abandon();
    }

    /// Returns the memory that is held for what waits for the socket.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.0.lock().held()
    }
}

impl<S: Output> Gathered<S> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() && self.is_flushed {
            return Poll::Ready(Ok(()));
        }
        while self.taken < self.bytes.len() {
            // Else the layer would hold this as well, in many small records.
            if self.stream.held() > 0 {
                ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            }
            self.is_flushed = false;
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.bytes[self.taken..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.taken += taken,
            }
        }
        // Before the flush, which may have to wait: the layer has a copy.
        self.give_back();
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.is_flushed = true;
        Poll::Ready(Ok(()))
    }

    /// Gives the memory back: most connections are silent for most of the time.
    fn give_back(&mut self) {
        let mut spare = std::mem::take(&mut self.bytes);
        self.taken = 0;
        if spare.capacity() >= GATHERED_MAX {
            spare.clear();
            SPARE.set(spare);
        }
    }

    fn held(&self) -> usize {
        self.bytes.capacity() + self.stream.held()
    }

    /// Keeps as much memory as waits.
    fn shrink(&mut self) {
        let rest = &self.bytes[self.taken..];
        if self.bytes.capacity() > rest.len() {
            let rest = rest.to_vec();
            self.give_back();
            self.bytes = rest;
        }
        let beyond = self.held().saturating_sub(CRUMB);
        // Mostly it is as it was: a connection that does not read is woken for much else.
        if self.portion.amount() > beyond {
            self.portion.shrink(beyond);
        }
    }

    /// Returns the bytes that may be gathered now.
    fn room(&self) -> usize {
        let most = GATHERED_MAX.min(CRUMB + self.portion.amount());
        most.saturating_sub(self.bytes.len() - self.taken + self.stream.held())
    }

    /// Asks for memory for as much as may be gathered. Refused, it asks again when the socket has taken something.
    fn ask_for_more(&mut self) {
        // A crumb more than is used of it: TLS adds to what it is given.
        let more = GATHERED_MAX.saturating_sub(self.portion.amount());
        let sent = self.stream.sent();
        if more <= CRUMB || self.refused_at == Some(sent) {
            return;
        }
        self.refused_at = None;
        if let Err(full) = self.portion.add(more, usize::MAX) {
            self.refused_at = Some(sent);
            self.caller.metrics().ungathered(full);
        }
    }

    /// Makes room for so many bytes, or for as many as there can be.
    fn poll_room(&mut self, len: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.room() < len {
            self.ask_for_more();
        }
        // With each part that the socket takes there is room for as much: so what waits above moves on as well.
        if self.room() < len && self.poll_send(cx)?.is_pending() && self.room() < len.min(LEAST) {
            return Poll::Pending;
        }
        let room = self.room().min(len);
        self.bytes.drain(..std::mem::take(&mut self.taken));
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.take();
            self.bytes.reserve_exact(GATHERED_MAX);
        }
        self.bytes.reserve_exact(room);
        Poll::Ready(Ok(room))
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

impl<S: Output> AsyncWrite for Gathering<S> {
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
        let mut left = room;
        for slice in slices {
            let some = &slice[..slice.len().min(left)];
            gathered.bytes.extend_from_slice(some);
            left -= some.len();
        }
        Poll::Ready(Ok(room))
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
    use crate::socket::Abandon;

    /// A socket that takes so many bytes before it has to be waited for, and notes its writes.
    #[derive(Debug)]
    struct Socket {
        room: usize,
        writes: Vec<usize>,
    }

    impl Abandon for Socket {
        fn abandon(&self) {}
    }

    impl Output for Socket {
        fn sent(&self) -> u64 {
            self.writes.iter().sum::<usize>() as u64
        }

        fn held(&self) -> usize {
            0
        }
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
        Gathering::new(Socket { room, writes: Vec::new() }, &Caller::alone())
    }

    fn writes(output: &Gathering<Socket>) -> Vec<usize> {
        output.0.lock().stream.writes.clone()
    }

    /// Bytes that wait.
    fn waiting(output: &Gathering<Socket>) -> usize {
        let gathered = output.0.lock();
        gathered.bytes.len() - gathered.taken
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
        assert_eq!((writes(&output), waiting(&output)), (vec![], (32 << 10) + 18));
        assert_eq!(send(&output), Poll::Ready(()));
        assert_eq!((writes(&output), waiting(&output)), (vec![(32 << 10) + 18], 0));
    }

    #[tokio::test]
    async fn what_is_more_than_may_be_gathered_goes_out_before() {
        let output = socket(usize::MAX);
        output.clone().write_all(&vec![0; 2 * GATHERED_MAX + 1]).await.unwrap();
        assert_eq!((writes(&output), waiting(&output)), (vec![GATHERED_MAX; 2], 1));
    }

    #[tokio::test]
    async fn a_socket_that_takes_a_part_gets_the_rest_later_and_no_more_is_gathered_than_may_be() {
        let output = socket(3);
        let mut stream = output.clone();
        stream.write_all(&vec![0; GATHERED_MAX]).await.unwrap();
        assert_eq!((send(&output), waiting(&output)), (Poll::Pending, GATHERED_MAX - 3));
        let mut write = |len| {
            let bytes = vec![0; len];
            Pin::new(&mut stream).poll_write(&mut Context::from_waker(Waker::noop()), &bytes)
        };
        assert!(write(4).is_pending(), "there is room for less");
        assert!(matches!(write(3), Poll::Ready(Ok(3))));
        assert!(write(1).is_pending());
        output.0.lock().stream.room = usize::MAX;
        stream.shutdown().await.unwrap();
        assert_eq!((writes(&output), waiting(&output)), (vec![3, GATHERED_MAX], 0));
    }
}
