//! The body of a request, read within bounds of size, time and memory of all requests together.
//!
//! Small bodies always have room: a part of the memory is for them alone, and when that is full, too, a body that comes slowly
//! gives way to one that comes at once. So bodies that are never finished keep no call for help out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::account::{Account, AccountGauges, Full, Portion};
use super::caller::{BodyBytes, Caller};
use super::problem::{Kind, Problem};

/// Part of the memory that is for small bodies alone: one of so many.
const SMALL_PART: usize = 8;
/// Part of the memory that one peer may hold: one of so many.
const PEERS_MIN: usize = 4;

/// Time after which a body that has not arrived is slow. One that comes at once takes less, over any network.
const SLOW_AFTER: Duration = Duration::from_secs(1);
/// Longest wait for a slow body to give way, and the most of them that are asked for one that wants room.
const GIVE_WAY_WITHIN: Duration = Duration::from_millis(100);
const ASKED_MAX: usize = 4;

/// Returns the media type of a request's body, in lower case and without parameters; empty if the request names none.
pub fn media_type(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Refuses a body that is coded, as by gzip.
///
/// # Errors
/// [`Kind::UnsupportedEncoding`].
pub fn plain(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = given.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let other = codings.find(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"identity"));
    other.map_or(Ok(()), |coding| {
        let coding: String = String::from_utf8_lossy(coding.trim_ascii()).chars().take(SHOWN_MAX).collect();
        let why = format!("Content-Encoding is {coding:?}; send the body as it is, without this header");
        Err(Problem::new(Kind::UnsupportedEncoding, why))
    })
}

/// Most characters of a coding that a refusal repeats.
const SHOWN_MAX: usize = 40;

/// Limits for the bodies of one kind of request, in bytes and time.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Longest body.
    pub one: usize,
    /// Longest body that counts as small.
    pub small: usize,
    /// All bodies together. What one connection or address may hold must have room for one body.
    pub all: usize,
    /// Longest time for a body to arrive.
    pub within: Duration,
}

/// Memory for bodies.
#[derive(Debug)]
pub struct Budget {
    limits: BodyLimits,
    account: Arc<Account>,
    /// Bodies that are being read, by rising numbers.
    readings: Mutex<BTreeMap<u64, Arc<Reading>>>,
    next: AtomicU64,
    /// Told when a body has given way.
    given_way: Notify,
}

/// A body that is being read.
#[derive(Debug)]
struct Reading {
    since: Instant,
    give_way: Notify,
}

/// The entry of a body among those that are being read; gone with this.
struct Noted<'a> {
    number: u64,
    reading: Arc<Reading>,
    budget: &'a Budget,
}

/// A body in memory; its part of the budget is given back when this is dropped.
#[derive(Debug)]
pub struct Held {
    /// The body.
    pub bytes: Vec<u8>,
    portion: Portion,
    caller: Caller,
}

impl Budget {
    /// Makes a budget.
    pub fn new(limits: BodyLimits) -> Self {
        let account = Account::new(limits.all, limits.all / PEERS_MIN, AccountGauges::default());
        Self {
            limits,
            account,
            readings: Mutex::default(),
            next: AtomicU64::new(0),
            given_way: Notify::new(),
        }
    }

    /// Reads `body` to its end. Of a refused body the server passes over the rest before it answers.
    ///
    /// # Errors
    /// [`Kind::TooLarge`]; [`Kind::RequestTimeout`]; [`Kind::Overloaded`] when the bodies being read leave no memory, and
    /// [`Kind::TooManyRequests`] when those of this connection or address do; [`Kind::InvalidBody`] when the connection breaks off.
    pub async fn read(&self, caller: &Caller, body: Body) -> Result<Held, Problem> {
        let Noted { reading, .. } = &self.note();
        let read = tokio::select! {
            read = timeout(self.limits.within, self.collect(caller, body)) => read,
            () = reading.give_way.notified() => {
                // What was read is freed by now.
                self.given_way.notify_one();
                return Err(overloaded(caller, "gave_way"));
            }
        };
        read.unwrap_or_else(|_| {
            let limit_s = self.limits.within.as_secs();
            Err(Problem::new(Kind::RequestTimeout, format!("the body did not arrive within {limit_s} s")))
        })
    }

    fn note(&self) -> Noted<'_> {
        let reading = Arc::new(Reading { since: Instant::now(), give_way: Notify::new() });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.readings.lock().insert(number, reading.clone());
        Noted { number, reading, budget: self }
    }

    async fn collect(&self, caller: &Caller, body: Body) -> Result<Held, Problem> {
        let mut chunks = body.into_data_stream();
        let mut held =
            Held { bytes: Vec::new(), portion: self.account.owe(caller.peer(), 0), caller: caller.clone() };
        let mut on_connection = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(broken_off)?;
            on_connection.push(self.on_connection(&held, &chunk)?);
            self.make_room(&mut held, chunk.len()).await?;
            held.push(&chunk);
        }
        Ok(held)
    }

    /// Checks that this body may have one more chunk, and that its connection may.
    fn on_connection(&self, held: &Held, chunk: &Bytes) -> Result<BodyBytes, Problem> {
        let one = self.limits.one;
        if held.bytes.len() + chunk.len() > one {
            return Err(Problem::new(Kind::TooLarge, format!("a body may have at most {one} bytes")));
        }
        held.caller.body(chunk.len(), one).ok_or_else(|| {
            let why = "the bodies that are being read on this connection hold as much as one connection may";
            too_many(&held.caller, "connection", why)
        })
    }

    /// Takes memory for so many more bytes.
    async fn make_room(&self, held: &mut Held, more: usize) -> Result<(), Problem> {
        let is_small = held.bytes.len() + more <= self.limits.small;
        let up_to = self.limits.all - if is_small { 0 } else { self.limits.all / SMALL_PART };
        for asked in 0.. {
            match held.portion.add(more, up_to) {
                Ok(()) => break,
                Err(Full::Peer) => {
                    let why =
                        "the bodies that are being read from this address hold as much as one address may";
                    return Err(too_many(&held.caller, "address", why));
                }
                Err(Full::All) if !is_small => return Err(overloaded(&held.caller, "full")),
                Err(Full::All) if asked == ASKED_MAX || !self.ask_the_slowest() => {
                    return Err(overloaded(&held.caller, "full_small"));
                }
                // Whether it has given way in time or not, the next turn finds out.
                Err(Full::All) => {
                    timeout(GIVE_WAY_WITHIN, self.given_way.notified()).await.ok();
                }
            }
        }
        Ok(())
    }

    /// Asks the oldest body that is slow to give way. Returns false if none is.
    fn ask_the_slowest(&self) -> bool {
        let mut readings = self.readings.lock();
        let Some(oldest) = readings.first_entry().filter(|oldest| oldest.get().since.elapsed() >= SLOW_AFTER)
        else {
            return false;
        };
        oldest.remove().give_way.notify_one();
        true
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        self.budget.readings.lock().remove(&self.number);
    }
}

impl Held {
    fn push(&mut self, chunk: &Bytes) {
        self.bytes.extend_from_slice(chunk);
        self.caller.metrics().body_bytes.inc_by(chunk.len() as u64);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.caller.metrics().body_bytes.dec_by(self.bytes.len() as u64);
    }
}

fn overloaded(caller: &Caller, reason: &'static str) -> Problem {
    caller.metrics().body(reason);
    let why = match reason {
        "gave_way" => "the body came slowly, and had to give way to others",
        _ => "too many bodies are being read just now",
    };
    Problem::new(Kind::Overloaded, why)
}

fn too_many(caller: &Caller, reason: &'static str, why: &'static str) -> Problem {
    caller.metrics().body(reason);
    Problem::new(Kind::TooManyRequests, why)
}

fn broken_off(err: axum::Error) -> Problem {
    Problem::new(Kind::InvalidBody, format!("the body broke off: {err}"))
}

#[cfg(test)]
mod tests;
