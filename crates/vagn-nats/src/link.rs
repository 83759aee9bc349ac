//! A connection to one broker at a time: requests with their answers, and whether the broker is heard.
//!
//! The client's own requests are not used: it keeps a place for each answer until that comes, hence for ever if it does not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, timeout_at};

/// Longest wait for an answer of brokers: a node is promised one within a second.
pub const ANSWER_MAX: Duration = Duration::from_millis(950);

/// Silence after which a connection is used only if the other one is no better. Heartbeats of this node come back over each
/// connection twice a second.
const QUIET: Duration = Duration::from_millis(1_500);

/// Silence that begins to be odd: one heartbeat and some more.
const FRESH: Duration = Duration::from_millis(700);

/// One of the two connections.
#[derive(Debug)]
pub(crate) struct Link {
    /// Beginning of the subjects on which answers come.
    inbox: String,
    client: Mutex<Option<Client>>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Message>>>,
    next: AtomicU64,
    began: Instant,
    heard_ms: AtomicU64,
}

impl Link {
    pub(crate) fn new(inbox: String) -> Self {
        Self {
            inbox,
            client: Mutex::default(),
            waiting: Mutex::default(),
            next: AtomicU64::new(1),
            began: Instant::now(),
            heard_ms: AtomicU64::new(0),
        }
    }

    /// Returns the subject on which all answers come.
    pub(crate) fn answers(&self) -> String {
        format!("{}.*", self.inbox)
    }

    /// Makes the subject for messages of a subscription; no other has it.
    pub(crate) fn delivery(&self) -> String {
        format!("{}.d{}", self.inbox.replacen("answer", "delivery", 1), self.number())
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes the client in use, or none.
    pub(crate) fn set(&self, client: Option<Client>) {
        *self.client.lock() = client;
    }

    /// Returns the client if it is connected.
    pub(crate) fn connected(&self) -> Option<Client> {
        let client = self.client.lock().clone()?;
        (client.connection_state() == State::Connected).then_some(client)
    }

    /// Returns true if it is connected and something came lately.
    pub(crate) fn is_heard(&self) -> bool {
        self.connected().is_some() && self.silence() < QUIET
    }

    /// Returns true if it is connected, and nothing is odd.
    pub(crate) fn is_fresh(&self) -> bool {
        self.connected().is_some() && self.silence() < FRESH
    }

    /// Returns the time since something came.
    fn silence(&self) -> Duration {
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(heard)
    }

    /// Notes that something came.
    pub(crate) fn hear(&self) {
        self.heard_ms.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Hands an answer to the request that waits for it.
    pub(crate) fn answered(&self, message: Message) {
        let token = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        let waits = token.and_then(|token: u64| self.waiting.lock().remove(&token));
        if let Some(waits) = waits {
            // Gone if its time is over.
            waits.send(message).ok();
        }
    }

    /// Asks, and waits for the answer until then.
    pub(crate) async fn request(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
        until: Instant,
    ) -> Option<Message> {
        let client = self.connected()?;
        let mut pending = self.pending();
        let reply = format!("{}.{}", self.inbox, pending.token);
        let asked = async {
            match headers {
                Some(headers) => {
                    client.publish_with_reply_and_headers(subject, reply, headers, payload).await
                }
                None => client.publish_with_reply(subject, reply, payload).await,
            }
        };
        timeout_at(until, asked).await.ok()?.ok()?;
        timeout_at(until, &mut pending.answer).await.ok()?.ok()
    }

    fn pending(&self) -> PendingAnswer<'_> {
        let token = self.number();
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(token, sender);
        PendingAnswer { link: self, token, answer }
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.lock().len()
    }
}

/// Does a deed that needs no waiting. None if it would wait: then it is not done.
///
/// Tokio lets a busy task wait now and then although there is room. That must not count.
pub(crate) fn at_once<T>(deed: impl Future<Output = T>) -> Option<T> {
    unconstrained(deed).now_or_never()
}

/// An answer that a request waits for. Dropping it makes the link forget it.
struct PendingAnswer<'a> {
    link: &'a Link,
    token: u64,
    answer: oneshot::Receiver<Message>,
}

impl Drop for PendingAnswer<'_> {
    fn drop(&mut self) {
        self.link.waiting.lock().remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str) -> Message {
        Message {
            subject: subject.into(),
            reply: None,
            payload: Bytes::from_static(b"yes"),
            headers: None,
            status: None,
            description: None,
            length: 3,
        }
    }

    #[tokio::test]
    async fn an_answer_reaches_who_waits_and_nobody_else() {
        let link = Link::new("_INBOX.answer.1".into());
        let mut one = link.pending();
        let mut two = link.pending();
        link.answered(message(&format!("_INBOX.answer.1.{}", two.token)));
        link.answered(message("_INBOX.answer.1.999"));
        link.answered(message("_INBOX.answer.1.x"));
        assert_eq!(two.answer.try_recv().unwrap().payload, "yes");
        assert!(one.answer.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_busy_task_does_not_find_a_channel_full_that_is_not() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
        for number in 0..10_000 {
            assert_eq!(at_once(sender.send(number)), Some(Ok(())), "{number}");
            assert_eq!(at_once(receiver.recv()), Some(Some(number)));
        }
    }

    #[tokio::test]
    async fn nothing_is_kept_for_an_answer_that_nobody_waits_for() {
        let link = Link::new("_INBOX.answer.1".into());
        let pending = link.pending();
        assert_eq!(link.waiting(), 1);
        drop(pending);
        assert_eq!(link.waiting(), 0);
    }
}
