//! Errands: the requests of a part of a node that are under way at brokers, its subscriptions, and the moment at which it is to be woken.

use std::collections::HashMap;
use std::pin::Pin;

use futures_util::future::BoxFuture;
use futures_util::stream::{AbortHandle, BoxStream, FuturesUnordered, SelectAll, abortable};
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Duration, Instant, Sleep, sleep_until};
use vagn_cluster::{Command, Event, SubscriptionId};

use crate::brokers::{Brokers, answer_by};
use crate::publish::NewMessage;

/// Requests, subscriptions and timer of a part of a node.
pub(crate) struct Errands {
    brokers: Brokers,
    began: Instant,
    /// Room with which streams are made.
    stream_bytes: u64,
    /// Requests to brokers. A node has a bounded number of them under way: for each shard two publishes, one append and one read; for the trail
    /// one publish, two reads, one of a record, and one write.
    answers: FuturesUnordered<BoxFuture<'static, Option<Event>>>,
    subscriptions: SelectAll<BoxStream<'static, Event>>,
    ends: HashMap<SubscriptionId, AbortHandle>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Errands {
    pub(crate) fn new(brokers: Brokers, stream_bytes: u64) -> Self {
        Self {
            brokers,
            began: Instant::now(),
            stream_bytes,
            answers: FuturesUnordered::new(),
            subscriptions: SelectAll::new(),
            ends: HashMap::new(),
            timer: None,
        }
    }

    pub(crate) fn brokers(&self) -> &Brokers {
        &self.brokers
    }

    /// Returns the time since the start, which does not go back.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Waits for the next event of what is under way. Nothing is lost if it is dropped before.
    pub(crate) async fn next(&mut self) -> Event {
        let Self { answers, subscriptions, ends, timer, .. } = self;
        loop {
            tokio::select! {
                Some(answer) = answers.next(), if !answers.is_empty() => match answer {
                    Some(event) => return event,
                    None => continue,
                },
                Some(event) = subscriptions.next(), if !subscriptions.is_empty() => {
                    if let Event::SubscriptionEnded(subscription) = &event {
                        ends.remove(subscription);
                    }
                    return event;
                }
                () = ring(timer) => {
                    *timer = None;
                    return Event::Woken;
                }
            }
        }
    }

    /// Begins a command that is for brokers, or sets the timer. Returns any other command.
    pub(crate) fn begin(&mut self, command: Command) -> Option<Command> {
        let brokers = self.brokers.clone();
        match command {
            Command::Publish { publish, stream, message_id, expected_last, bytes } => {
                let message = NewMessage { stream, message_id, expected_last, bytes };
                self.answer(async move { Event::Published(publish, brokers.publish(message).await) });
            }
            Command::ReadStream { read, stream } => {
                let until = answer_by();
                self.answer(async move { Event::StreamRead(read, brokers.read_stream(stream, until).await) });
            }
            Command::MakeStream { read, stream } => {
                let max_bytes = self.stream_bytes;
                self.answer(
                    async move { Event::StreamRead(read, brokers.make_stream(stream, max_bytes).await) },
                );
            }
            Command::ReadRecord(key) => {
                self.answer(async move { Event::RecordRead(key, brokers.read_record(key).await) });
            }
            Command::WriteRecord { key, expected, bytes } => {
                self.answer(async move {
                    Event::RecordWritten(key, brokers.write_record(key, expected, bytes).await)
                });
            }
            Command::DropStream(stream) => self.silent(async move { brokers.drop_stream(stream).await }),
            Command::Purge { stream, through } => {
                self.silent(async move { brokers.purge(stream, through).await });
            }
            Command::Subscribe { subscription, stream, from } => {
                let (messages, end) = abortable(brokers.follow(subscription, stream, from));
                self.ends.insert(subscription, end);
                self.subscriptions.push(messages.boxed());
            }
            Command::Unsubscribe(subscription) => {
                if let Some(end) = self.ends.remove(&subscription) {
                    end.abort();
                }
            }
            Command::WakeAt { elapsed_ms } => self.set_timer(elapsed_ms),
            other => return Some(other),
        }
        None
    }

    fn answer(&self, event: impl Future<Output = Event> + Send + 'static) {
        self.answers.push(event.map(Some).boxed());
    }

    fn silent(&self, deed: impl Future<Output = ()> + Send + 'static) {
        self.answers.push(deed.map(|()| None).boxed());
    }

    fn set_timer(&mut self, elapsed_ms: u64) {
        let at = self.began + Duration::from_millis(elapsed_ms);
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(sleep_until(at))),
        }
    }
}

async fn ring(timer: &mut Option<Pin<Box<Sleep>>>) {
    match timer {
        Some(timer) => timer.await,
        None => std::future::pending().await,
    }
}
