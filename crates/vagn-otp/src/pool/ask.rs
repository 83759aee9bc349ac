//! A job with a sender that waits for the answer.

use crate::reply::Reply;

/// A question to a pool. A pool of questions alone has `Ask` as its job; other job types implement `From<Ask<..>>`.
#[derive(Debug)]
pub struct Ask<Q, R> {
    pub(super) request: Q,
    pub(super) reply: Reply<R>,
}

impl<Q, R> Ask<Q, R> {
    /// Works out the answer and sends it, unless the caller has gone.
    pub fn answer(self, work: impl FnOnce(Q) -> R) {
        if !self.reply.is_unwanted() {
            let (request, reply) = self.begin();
            reply.send(work(request));
        }
    }

    /// Takes the question apart, for an answer in another place. A reply dropped unsent means a crash from now on.
    pub fn begin(mut self) -> (Q, Reply<R>) {
        self.reply.begin();
        (self.request, self.reply)
    }

    /// Returns the question itself.
    pub fn request(&self) -> &Q {
        &self.request
    }
}
