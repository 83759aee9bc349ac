//! The body of every answer: goes out in small pieces, each when the peer has taken those before.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use vagn_flow::descriptors::Asked;

use super::account::Portion;
use super::bare::OwnAnswer;
use super::caller::{Caller, SMALL};
use super::flight::Flight;
use super::memory::Rank;
use super::watch::Watch;

/// Most bytes of a piece: as much as a frame of HTTP/2 has.
const PIECE: usize = 16 << 10;
/// Bytes of an answer with a known length that may be on their way. More would not make a peer faster that takes them.
const AHEAD: usize = 64 << 10;

/// Memory of an answer, as far as it is not simply its length; among the extensions of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The body holds so many bytes itself, and has its own portion for them.
    Held(usize),
    /// The content is part of the program.
    Free,
}

/// A body that is sent as it is taken.
pub(crate) struct Taken {
    body: Body,
    /// Rest of the body's last frame.
    rest: Bytes,
    flight: Arc<Flight>,
    caller: Caller,
    form: Form,
    is_watched: bool,
    is_done: bool,
    /// Keeps the place of the connection while the answer is wanted, and says that it is under way.
    kept: Option<(Asked, OwnAnswer)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One piece, which takes the end of the answer along.
    Small,
    /// A body that is there, with its memory in the account already.
    Whole,
    /// A body that is made as it is taken; its pieces are counted.
    Made,
}

/// Prepares an answer to be sent. `slip` is the memory that its request was admitted with.
pub(crate) fn prepare(response: Response, slip: Portion, rank: Rank, caller: &Caller) -> Response<Taken> {
    let weight = response.extensions().get::<Weight>().copied();
    let length = response.body().size_hint().exact();
    let (form, pace, held) = match (weight, length) {
        (_, Some(length)) if length <= SMALL as u64 => (Form::Small, None, None),
        (Some(Weight::Free), Some(_)) => (Form::Whole, None, None),
        // In text it takes about twice as much.
        (Some(Weight::Held(bytes)), _) => (Form::Made, Some(2 * bytes as u64), None),
        (_, None) => (Form::Made, None, None),
        (None, Some(length)) => match caller.whole(length as usize, rank) {
            Ok(portion) => (Form::Whole, Some(length), Some(portion)),
            Err(problem) => return prepare(problem.into_response(), slip, rank, caller),
        },
    };
    let flight = Flight::new(pace, [Some(slip), held]);
    let caller = caller.clone();
    response.map(|body| Taken {
        body,
        rest: Bytes::new(),
        flight,
        caller,
        form,
        is_watched: false,
        is_done: false,
        kept: None,
    })
}

impl Taken {
    /// Lets the connection keep its place until this answer is over.
    pub(crate) fn keep(&mut self, asked: Asked, own: OwnAnswer) {
        self.kept = Some((asked, own));
    }

    /// Lets this answer be ended when it is not taken.
    fn be_watched(&mut self) {
        if self.is_watched {
            return;
        }
        self.is_watched = true;
        Watch::current(&self.flight);
        if self.form == Form::Small {
            // Its stream is over when the last piece is handed on, but the piece may go on waiting in the connection.
            self.caller.watch().look_after(&self.flight);
        }
    }

    /// Returns the most bytes that may be on their way when the body is asked for more.
    fn ahead(&self) -> usize {
        // What is made is not made before it is wanted: that is where it waits best.
        if self.form == Form::Made { 0 } else { AHEAD - PIECE }
    }

    fn counted(&self, bytes: Bytes) -> Bytes {
        if self.form != Form::Made || bytes.is_empty() {
            return bytes;
        }
        let portion = self.caller.owe(bytes.len());
        Bytes::from_owner(Counted { bytes, _portion: portion })
    }

    fn next_piece(&mut self) -> Bytes {
        // Those before have been taken: the connection is in use.
        self.caller.signs().fetch_add(1, Ordering::Relaxed);
        let len = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(len);
        self.flight.launch(piece)
    }
}

/// Bytes with their portion of the account.
struct Counted {
    bytes: Bytes,
    _portion: Portion,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.be_watched();
        loop {
            if !self.rest.is_empty() {
                ready!(self.flight.poll_room(cx, AHEAD - PIECE));
                return Poll::Ready(Some(Ok(Frame::data(self.next_piece()))));
            }
            if self.is_done {
                // The end goes last, so that until then the stream can be reset.
                ready!(self.flight.poll_room(cx, 0));
                return Poll::Ready(None);
            }
            ready!(self.flight.poll_room(cx, self.ahead()));
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => self.rest = self.counted(bytes),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(err)) => return Poll::Ready(Some(Err(err))),
                None => self.is_done = true,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.form == Form::Small && self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let mut hint = self.body.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

#[cfg(test)]
mod tests;
