//! Answers that the HTTP library makes by itself: they get the strict headers on their way out.
//!
//! To what is no request of HTTP/1.1, or has too much of a head, hyper answers 400, 414 or 431. It asks no service for that and has no hook.
//! So the stream under it looks at what is written while no answer of ours is under way: that can only be such an answer, or an interim one.
//! It does not look into HTTP/2, where the library answers 431 alone, with no header and no body.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::strict;

/// The answers of ours on one connection.
#[derive(Debug, Default)]
pub(crate) struct OwnAnswers {
    under_way: AtomicUsize,
    /// True until all of the last one has come through the stream, as a flush tells. Where it waits below is of no concern.
    are_unsent: AtomicBool,
    /// True for HTTP/2, whose frames may hold anything.
    has_frames: AtomicBool,
}

/// An answer of ours, from its request to its end.
#[derive(Debug)]
pub(crate) struct OwnAnswer(Arc<OwnAnswers>);

/// A stream that adds the headers.
#[derive(Debug)]
pub(crate) struct Dressing<S> {
    stream: S,
    answers: Arc<OwnAnswers>,
    /// Rest of an answer with its headers, for which there was no room below.
    rest: Vec<u8>,
}

impl OwnAnswers {
    /// Notes that a request of this version is to be answered.
    pub(crate) fn begin(self: &Arc<Self>, version: Version) -> OwnAnswer {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        self.are_unsent.store(true, Ordering::Release);
        if version == Version::HTTP_2 {
            self.has_frames.store(true, Ordering::Release);
        }
        OwnAnswer(self.clone())
    }

    fn sent(&self) {
        if self.under_way.load(Ordering::Acquire) == 0 {
            self.are_unsent.store(false, Ordering::Release);
        }
    }

    fn is_between(&self) -> bool {
        !self.are_unsent.load(Ordering::Acquire) && !self.has_frames.load(Ordering::Acquire)
    }

    /// Returns what is written with the headers; `None` where it is no such answer.
    fn dressed(&self, written: &[u8]) -> Option<Vec<u8>> {
        let is_refusal = written.starts_with(b"HTTP/1.") && written.get(9) == Some(&b'4');
        let head = written.strip_suffix(b"\r\n\r\n").filter(|_| is_refusal && self.is_between())?;
        Some([head, b"\r\n", strict::lines().as_bytes(), b"\r\n"].concat())
    }
}

impl Drop for OwnAnswer {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

impl<S: AsyncWrite + Unpin> Dressing<S> {
    /// Puts a stream under a connection with these answers.
    pub(crate) fn new(stream: S, answers: Arc<OwnAnswers>) -> Self {
        Self { stream, answers, rest: Vec::new() }
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => {
                    self.rest.drain(..taken);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes an answer that gets the headers; `None` where there is none in `written`.
    fn take(&mut self, written: &[u8], cx: &mut Context<'_>) -> Option<Poll<io::Result<usize>>> {
        self.rest = self.answers.dressed(written)?;
        // What there is no room for now goes on with the next flush.
        Some(match self.poll_rest(cx) {
            Poll::Ready(Err(err)) => Poll::Ready(Err(err)),
            _ => Poll::Ready(Ok(written.len())),
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Dressing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Dressing<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        match self.take(bytes, cx) {
            Some(taken) => taken,
            None => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        let first = slices.iter().find(|slice| !slice.is_empty());
        match first.and_then(|first| self.take(first, cx)) {
            Some(taken) => taken,
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(cx))?;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.answers.sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

    /// Writes through a socket that takes so few bytes at a time, and returns what arrives.
    async fn sent(answers: Arc<OwnAnswers>, socket: usize, written: &[u8]) -> String {
        let (near, mut far) = tokio::io::duplex(socket);
        let mut stream = Dressing::new(near, answers);
        let write = async move {
            stream.write_all(written).await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let mut said = String::new();
        let (_, read) = tokio::join!(write, far.read_to_string(&mut said));
        read.unwrap();
        said
    }

    #[tokio::test]
    async fn a_refusal_of_the_library_gets_the_headers_however_little_the_socket_takes() {
        for socket in [7, 4096] {
            let said = sent(Arc::default(), socket, REFUSAL).await;
            assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n"), "{said}");
            assert!(said.ends_with(&format!("\r\n{}\r\n", strict::lines())), "{said}");
        }
    }

    #[tokio::test]
    async fn what_is_ours_or_no_refusal_goes_out_as_it_is() {
        let answers: Arc<OwnAnswers> = Arc::default();
        assert_eq!(
            sent(answers, 4096, b"HTTP/1.1 100 Continue\r\n\r\n").await,
            "HTTP/1.1 100 Continue\r\n\r\n"
        );
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let answers: Arc<OwnAnswers> = Arc::default();
            let own = answers.begin(version);
            let ours = String::from_utf8(REFUSAL.into()).unwrap();
            assert_eq!(sent(answers.clone(), 4096, REFUSAL).await, ours, "a body may hold anything");
            drop(own);
            assert_eq!(
                sent(answers.clone(), 4096, REFUSAL).await,
                ours,
                "its end may still be on its way here"
            );
            answers.sent();
            assert_eq!(sent(answers, 4096, REFUSAL).await == ours, version == Version::HTTP_2, "{version:?}");
        }
    }
}
