//! The rest of a request's body: the part that its handler left unread when it answered.
//!
//! A client that is still sending when the answer ends often sees a broken stream instead of it. So the rest is passed over
//! before the answer goes out, for every route and every refusal alike.
//!
//! A request counts as asked once its body is whole, or its answer begins: half of one must not keep the place of its connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::{Request, Version, header};
use parking_lot::Mutex;
use tokio::time::timeout;
use vagn_flow::descriptors::{Asked, Place};

/// Most bytes that are passed over, and how long that may take.
pub(crate) const REST_MAX: usize = 64 << 20;
const REST_WITHIN: Duration = Duration::from_secs(5);

/// A body on loan to a handler.
pub(crate) struct Lent<B>(Arc<Mutex<Loan<B>>>);

/// The lender's side of a body.
pub(crate) struct Rest<B> {
    loan: Arc<Mutex<Loan<B>>>,
    /// True for a client that sends its body only when it is asked to.
    waits_to_be_asked: bool,
}

struct Loan<B> {
    body: B,
    /// True once the handler has begun to read.
    begun: bool,
    asking: Asking,
}

/// A request, as far as it keeps the place of its connection.
enum Asking {
    /// Its body is still to come.
    Half(Arc<Place>),
    Whole(Option<Asked>),
}

/// Lends the body of `request`, which came on the connection in this place, to its handler.
pub(crate) fn lend<B: Body>(request: Request<B>, place: &Arc<Place>) -> (Request<Lent<B>>, Rest<B>) {
    let waits_to_be_asked =
        request.version() <= Version::HTTP_11 && request.headers().contains_key(header::EXPECT);
    let (head, body) = request.into_parts();
    let asking = Asking::of(&body, place);
    let loan = Arc::new(Mutex::new(Loan { body, begun: false, asking }));
    (Request::from_parts(head, Lent(loan.clone())), Rest { loan, waits_to_be_asked })
}

impl<B: Body<Data = Bytes> + Unpin> Rest<B> {
    /// Passes over what was not read, within bounds of size and time. Returns the request as asked, since now it is answered.
    pub(crate) async fn pass_over(self) -> Asked {
        // To read from a client that waits would ask it for the body, only to throw that away.
        if !self.waits_to_be_asked || self.loan.lock().begun {
            timeout(REST_WITHIN, self.read_out()).await.ok();
        }
        self.loan.lock().asking.take()
    }

    async fn read_out(&self) {
        let mut passed = 0;
        while passed < REST_MAX
            && let Some(Ok(frame)) = std::future::poll_fn(|cx| self.loan.lock().poll(cx)).await
        {
            passed += frame.data_ref().map_or(0, Bytes::len);
        }
    }
}

/// The next frame of a body, if there is one.
type NextFrame<B> = Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>;

impl<B: Body + Unpin> Loan<B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<NextFrame<B>> {
        if self.body.is_end_stream() {
            self.asking.complete();
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if self.body.is_end_stream() || matches!(polled, Poll::Ready(None)) {
            self.asking.complete();
        }
        polled
    }
}

impl Asking {
    fn of(body: &impl Body, place: &Arc<Place>) -> Self {
        if body.is_end_stream() {
            return Self::Whole(Some(place.ask()));
        }
        place.await_body();
        Self::Half(place.clone())
    }

    /// Notes that the request is whole.
    fn complete(&mut self) {
        if let Self::Half(place) = self {
            *self = Self::Whole(Some(place.ask()));
        }
    }

    /// Takes the request as asked, whether it is whole or not.
    fn take(&mut self) -> Asked {
        let asked = match self {
            Self::Half(place) => place.ask(),
            Self::Whole(asked) => asked.take().expect("it is taken once, for the answer"),
        };
        *self = Self::Whole(None);
        asked
    }
}

impl<B: Body + Unpin> Body for Lent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut loan = self.0.lock();
        loan.begun = true;
        loan.poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::Body as AxumBody;
    use futures_util::StreamExt;

    use super::*;
    use crate::testing::places;

    fn lent<B: Body>(request: Request<B>) -> (Request<Lent<B>>, Rest<B>) {
        lend(request, &Arc::new(places(1).0.take([192, 0, 2, 1].into()).unwrap()))
    }

    /// Returns a body of up to `count` pieces of 1 MiB, and the count of those that were read.
    fn pieces(count: usize) -> (AxumBody, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let counter = read.clone();
        let piece = move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from(vec![0; 1 << 20]))
        };
        (AxumBody::from_stream(futures_util::stream::iter((0..count).map(piece))), read)
    }

    #[tokio::test]
    async fn a_body_that_was_not_read_is_passed_over_but_not_for_ever() {
        for (sent, expected) in [(10, 10), (1_000, 64)] {
            let (body, read) = pieces(sent);
            let (request, rest) = lent(Request::new(body));
            drop(request);
            rest.pass_over().await;
            assert_eq!(read.load(Ordering::Relaxed), expected);
        }
    }

    #[tokio::test]
    async fn what_the_handler_has_read_is_not_read_again() {
        let (body, read) = pieces(3);
        let (request, rest) = lent(Request::new(body));
        let mut body = AxumBody::new(request.into_body()).into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap().len(), 1 << 20);
        assert_eq!(read.load(Ordering::Relaxed), 1);
        drop(body);
        rest.pass_over().await;
        assert_eq!(read.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_body_is_not_waited_for_long() {
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let (_request, rest) = lent(Request::new(AxumBody::from_stream(never)));
        let start = tokio::time::Instant::now();
        rest.pass_over().await;
        assert_eq!(start.elapsed(), REST_WITHIN);
    }

    #[tokio::test]
    async fn a_client_that_waits_to_be_asked_is_not_asked_for_a_body_that_nothing_reads() {
        for (version, expected) in [(Version::HTTP_11, 0), (Version::HTTP_2, 2)] {
            let (body, read) = pieces(2);
            let request = Request::builder().version(version).header(header::EXPECT, "100-continue");
            let (_request, rest) = lent(request.body(body).unwrap());
            rest.pass_over().await;
            assert_eq!(read.load(Ordering::Relaxed), expected, "{version:?}");
        }
    }
}
