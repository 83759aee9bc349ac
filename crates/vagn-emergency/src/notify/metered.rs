//! A connection to a target, metered: what comes back is limited, and taking it in never holds its thread for long.
//!
//! A target may answer without an end in ways that no time-out between two bytes and no limit on a head sees, such as with one
//! `100 Continue` after another. So all bytes between two requests are counted, whatever they say.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};

/// Most bytes of one answer, with all that comes before and after it: 16 KiB of a body, a large head, and thousands of interim
/// answers.
pub(super) const ANSWER_MAX: usize = 64 << 10;

/// Most bytes that are taken in at a time.
const PIECE: usize = 4 << 10;

/// Pieces that are taken in before other connections have their turn.
const PIECES_IN_A_ROW: usize = 4;

/// A stream to a target.
pub(super) struct Metered<S> {
    stream: S,
    /// Bytes that may still come before the next request.
    left: usize,
    in_a_row: usize,
}

/// The target sent more than [`ANSWER_MAX`] bytes.
#[derive(Debug, thiserror::Error)]
#[error("the answer goes on for more than {} KiB", ANSWER_MAX >> 10)]
pub(super) struct Endless;

impl<S> Metered<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, left: ANSWER_MAX, in_a_row: 0 }
    }
}

impl<S: Read + Unpin> Read for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(Err(io::Error::other(Endless)));
        }
        if this.in_a_row == PIECES_IN_A_ROW {
            this.in_a_row = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut piece = [0; PIECE];
        let room = buf.remaining().min(PIECE).min(this.left);
        let mut read = ReadBuf::new(&mut piece[..room]);
        match Pin::new(&mut this.stream).poll_read(cx, read.unfilled()) {
            Poll::Ready(Ok(())) => {
                this.in_a_row += 1;
                this.left -= read.filled().len();
                buf.put_slice(read.filled());
                Poll::Ready(Ok(()))
            }
            other => {
                this.in_a_row = 0;
                other
            }
        }
    }
}

impl<S: Write + Unpin> Write for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // A request goes out: an answer may come. Nothing that a target sends makes us write.
        self.left = ANSWER_MAX;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S> Connection for Metered<S> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    fn metered() -> (TokioIo<Metered<TokioIo<DuplexStream>>>, DuplexStream) {
        let (near, far) = duplex(4 * ANSWER_MAX);
        (TokioIo::new(Metered::new(TokioIo::new(near))), far)
    }

    #[tokio::test]
    async fn an_answer_may_be_so_long_and_the_next_request_gets_another() {
        let (mut near, mut far) = metered();
        for _ in 0..3 {
            near.write_all(b"a request").await.unwrap();
            far.write_all(&vec![b'x'; ANSWER_MAX]).await.unwrap();
            near.read_exact(&mut vec![0; ANSWER_MAX]).await.unwrap();
        }
        far.write_all(b"more").await.unwrap();
        let ended = near.read(&mut [0; 9]).await.unwrap_err();
        assert_eq!(ended.to_string(), "the answer goes on for more than 64 KiB");
    }

    #[tokio::test]
    async fn others_have_their_turn_although_bytes_are_always_there() {
        let (mut near, mut far) = metered();
        far.write_all(&vec![b'x'; ANSWER_MAX]).await.unwrap();
        let mut turns = 0;
        let mut taken = vec![0; ANSWER_MAX];
        let reading = near.read_exact(&mut taken);
        tokio::pin!(reading);
        std::future::poll_fn(|cx| {
            turns += 1;
            reading.as_mut().poll(cx)
        })
        .await
        .unwrap();
        assert!(turns >= ANSWER_MAX / PIECE / PIECES_IN_A_ROW, "{turns} turns");
    }
}
