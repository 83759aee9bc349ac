//! A model of the bucket at the brokers.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use vagn_cluster::{Incarnation, RecordOutcome, StreamInfo, StreamOutcome};
use vagn_nats::{Appended, BucketEvent, NewObject};
use vagn_registry::{Bucket, Put};

use super::super::keys::to_bucket;
use super::super::source::Source;

/// Brokers with one bucket at most.
#[derive(Clone, Default)]
pub(super) struct Model {
    pub(super) state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) bucket: Option<Kept>,
    /// Incarnations so far.
    pub(super) made: u64,
    pub(super) is_away: bool,
    /// Consumers deliver nothing, and say nothing.
    pub(super) is_silent: bool,
    /// The broker of the consumers is behind: it has all up to this sequence, and nothing more.
    pub(super) behind_at: Option<u64>,
    /// What nodes write is refused.
    pub(super) refuses: bool,
    /// Time at which another node has filled the bucket: just after it was asked whether it is whole.
    pub(super) whole_at: Option<Instant>,
    /// Subscriptions so far, by where they began.
    pub(super) followed: Vec<u64>,
}

#[derive(Default)]
pub(super) struct Kept {
    pub(super) incarnation: u64,
    pub(super) last: u64,
    pub(super) objects: BTreeMap<String, (u64, Option<Bytes>)>,
}

impl State {
    pub(super) fn last(&self) -> u64 {
        self.bucket.as_ref().unwrap().last
    }
}

impl Kept {
    fn info(&self) -> StreamInfo {
        let first = self.objects.values().map(|(sequence, _)| *sequence).min().unwrap_or(self.last + 1);
        StreamInfo { incarnation: Incarnation(self.incarnation), first, last: self.last, bytes: 0 }
    }

    fn put(&mut self, key: &str, value: Option<&str>) {
        self.last += 1;
        self.objects
            .insert(key.to_owned(), (self.last, value.map(|text| Bytes::copy_from_slice(text.as_bytes()))));
    }

    /// The first object after a sequence.
    fn after(&self, sequence: u64) -> Option<(String, u64, Option<Bytes>)> {
        let later = self.objects.iter().filter(|(_, (at, _))| *at > sequence);
        let (key, (at, value)) = later.min_by_key(|(_, (at, _))| *at)?;
        Some((key.clone(), *at, value.clone()))
    }

    /// Sequence of the newest object.
    fn newest(&self) -> u64 {
        self.objects.values().map(|(at, _)| *at).max().unwrap_or(0)
    }
}

impl Model {
    pub(super) fn change<T>(&self, deed: impl FnOnce(&mut State) -> T) -> T {
        let done = deed(&mut self.state.lock());
        self.changed.send_modify(|count| *count += 1);
        done
    }

    pub(super) fn put(&self, key: &str, value: Option<&str>) {
        self.change(|state| state.bucket.as_mut().unwrap().put(key, value));
    }

    /// Makes another bucket with these objects, which is not whole.
    pub(super) fn begin(&self, keys: &[&str]) {
        self.change(|state| {
            state.made += 1;
            let mut kept = Kept { incarnation: state.made, ..Kept::default() };
            keys.iter().for_each(|key| kept.put(key, Some("{}")));
            state.bucket = Some(kept);
        });
    }

    fn with<T>(&self, away: T, deed: impl FnOnce(&mut State) -> T) -> T {
        let is_away = self.state.lock().is_away;
        if is_away { away } else { self.change(deed) }
    }
}

fn figures(state: &State) -> StreamOutcome {
    state.bucket.as_ref().map_or(StreamOutcome::Absent, |kept| StreamOutcome::Is(kept.info()))
}

impl Source for Model {
    async fn read(&self) -> StreamOutcome {
        self.with(StreamOutcome::NoAnswer, |state| figures(state))
    }

    async fn object(&self, key: &str) -> RecordOutcome {
        self.with(RecordOutcome::NoAnswer, |state| {
            let found = state.bucket.as_ref().and_then(|kept| kept.objects.get(key));
            let said = match found {
                Some((revision, Some(bytes))) => {
                    RecordOutcome::Is { revision: *revision, bytes: bytes.to_vec() }
                }
                _ => RecordOutcome::Absent,
            };
            if state.whole_at.take_if(|at| *at <= Instant::now()).is_some() {
                state.bucket.as_mut().unwrap().put("cluster.about", Some(r#"{"id":"a","wrapped_by":null}"#));
            }
            said
        })
    }

    async fn make(&self) -> StreamOutcome {
        self.with(StreamOutcome::NoAnswer, |state| {
            if state.bucket.is_none() {
                state.made += 1;
                state.bucket = Some(Kept { incarnation: state.made, ..Kept::default() });
            }
            figures(state)
        })
    }

    async fn remove(&self) {
        self.with((), |state| state.bucket = None);
    }

    async fn append(&self, after: u64, objects: &[NewObject]) -> Appended {
        self.with(Appended::NoAnswer, |state| match &mut state.bucket {
            Some(_) if state.refuses => Appended::Refused("no".into()),
            Some(kept) if kept.last == after => {
                for object in objects {
                    kept.last += 1;
                    kept.objects.insert(object.key.clone(), (kept.last, object.value.clone()));
                }
                Appended::At(kept.last)
            }
            Some(_) => Appended::Elsewhere,
            None => Appended::NoAnswer,
        })
    }

    fn follow(&self, from: u64) -> BoxStream<'static, BucketEvent> {
        let Some(info) = self.with(None, |state| {
            state.followed.push(from);
            state.bucket.as_ref().map(|kept| (kept.info(), kept.newest()))
        }) else {
            return stream::empty().boxed();
        };
        let (info, newest) = info;
        let begun = BucketEvent::Begun { info, newest };
        let objects = stream::unfold((self.clone(), from - 1), move |(model, sequence)| async move {
            let mut changed = model.changed.subscribe();
            loop {
                changed.mark_unchanged();
                {
                    let state = model.state.lock();
                    let kept = state.bucket.as_ref().filter(|kept| kept.incarnation == info.incarnation.0);
                    if state.is_away || kept.is_none() {
                        return None;
                    }
                    let next = kept.filter(|_| !state.is_silent).and_then(|kept| kept.after(sequence));
                    let behind_at = state.behind_at.unwrap_or(u64::MAX);
                    if let Some((key, sequence, value)) = next.filter(|(_, at, _)| *at <= behind_at) {
                        drop(state);
                        let object = BucketEvent::Object { key, sequence, value };
                        return Some((object, (model, sequence)));
                    }
                }
                changed.changed().await.ok()?;
            }
        });
        stream::once(async { begun }).chain(objects).boxed()
    }
}

/// The way of a node's own writes.
pub(super) struct To(pub(super) Model);

impl Bucket for To {
    fn append(&self, after: u64, objects: &[Put<'_>]) -> vagn_registry::Appended {
        let objects: Vec<_> = objects
            .iter()
            .map(|put| NewObject {
                key: to_bucket(put.kind, put.key),
                value: put.value.map(Bytes::copy_from_slice),
            })
            .collect();
        match futures_util::FutureExt::now_or_never(Source::append(&self.0, after, &objects)).unwrap() {
            Appended::At(last) => vagn_registry::Appended::At(last),
            Appended::Elsewhere => vagn_registry::Appended::Elsewhere,
            Appended::Refused(why) => vagn_registry::Appended::Refused(why),
            _ => vagn_registry::Appended::NoAnswer,
        }
    }
}
