//! A job whose sender waits for the answer.

use crate::reply::Reply;

/// A question to a pool. A job type that can be one has `From<Ask<..>>`; a pool of nothing else takes `Ask` itself as its job.
#[derive(Debug)]
pub struct Ask<Q, R> {
    pub(super) request: Q,
    pub(super) reply: Reply<R>,
}

impl<Q, R> Ask<Q, R> {
    /// Works out the answer and sends it, unless nobody waits for it any more.
    pub fn answer(self, work: impl FnOnce(Q) -> R) {
        if !self.reply.is_unwanted() {
            let (request, reply) = self.begin();
            reply.send(work(request));
        }
    }

    /// Takes the question apart, for an answer in another place. From now on, a reply dropped unsent means a crash.
    pub fn begin(mut self) -> (Q, Reply<R>) {
        self.reply.begin();
        (self.request, self.reply)
    }

    /// What is asked.
    pub fn request(&self) -> &Q {
        &self.request
    }
}
