//! The body of a request, read within bounds of size, time and memory of all requests together.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::problem::{Kind, Problem};

/// Memory is granted in pieces of this many bytes.
const GRAIN: usize = 1 << 10;

/// Returns the media type of a request's body, in lower case and without parameters; empty if the request names none.
pub fn media_type(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Limits of size, time and memory for request bodies.
#[derive(Debug)]
pub struct Budget {
    body_max: usize,
    within: Duration,
    memory: Semaphore,
}

/// A body in memory; its share of the budget is given back when this is dropped.
#[derive(Debug)]
pub struct Held<'a> {
    /// The body.
    pub bytes: Vec<u8>,
    _memory: Option<SemaphorePermit<'a>>,
}

impl Budget {
    /// Allows bodies of up to `body_max` bytes, each read `within` this time, and `total` bytes for all of them together.
    pub fn new(body_max: usize, within: Duration, total: usize) -> Self {
        Self { body_max, within, memory: Semaphore::new(total / GRAIN) }
    }

    /// Reads `body` to its end. Of a refused body the server passes over the rest before it answers.
    ///
    /// # Errors
    /// [`Kind::TooLarge`], [`Kind::RequestTimeout`], [`Kind::Overloaded`] when the bodies being read leave no memory, and
    /// [`Kind::InvalidBody`] when the connection breaks off.
    pub async fn read(&self, body: Body) -> Result<Held<'_>, Problem> {
        let mut chunks = body.into_data_stream();
        let read = timeout(self.within, self.collect(&mut chunks)).await;
        read.unwrap_or_else(|_| {
            let limit_s = self.within.as_secs();
            Err(Problem::new(Kind::RequestTimeout, format!("the body did not arrive within {limit_s} s")))
        })
    }

    async fn collect(&self, chunks: &mut BodyDataStream) -> Result<Held<'_>, Problem> {
        let mut held = Held { bytes: Vec::new(), _memory: None };
        while let Some(chunk) = chunks.next().await {
            self.hold(&mut held, &chunk.map_err(broken_off)?)?;
        }
        Ok(held)
    }

    /// Appends `chunk`, and takes memory from the budget for what it adds.
    fn hold<'a>(&'a self, held: &mut Held<'a>, chunk: &Bytes) -> Result<(), Problem> {
        let len = held.bytes.len() + chunk.len();
        if len > self.body_max {
            return Err(Problem::new(
                Kind::TooLarge,
                format!("a body may have at most {} bytes", self.body_max),
            ));
        }
        // Only the grains that this chunk begins; the last one of the chunk before may have room left.
        let more = len.div_ceil(GRAIN) - held.bytes.len().div_ceil(GRAIN);
        // Without waiting: the bodies that hold the memory may want more of it themselves, and then none would go on.
        let permit = self.memory.try_acquire_many(more as u32);
        let permit =
            permit.map_err(|_| Problem::new(Kind::Overloaded, "too many bodies are being read just now"))?;
        match &mut held._memory {
            Some(memory) => memory.merge(permit),
            none => *none = Some(permit),
        }
        held.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

fn broken_off(err: axum::Error) -> Problem {
    Problem::new(Kind::InvalidBody, format!("the body broke off: {err}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(read: Result<Held<'_>, Problem>) -> Kind {
        read.unwrap_err().kind
    }

    #[tokio::test]
    async fn reads_up_to_the_limit_and_not_beyond() {
        let budget = Budget::new(5_000, Duration::from_secs(1), 1 << 20);
        assert_eq!(budget.read(Body::from(vec![7; 5_000])).await.unwrap().bytes, vec![7; 5_000]);
        assert_eq!(kind(budget.read(Body::from(vec![7; 5_001])).await), Kind::TooLarge);
    }

    #[tokio::test]
    async fn all_bodies_together_stay_within_the_budget() {
        let budget = Budget::new(8_000, Duration::from_secs(1), 10 * GRAIN);
        let first = budget.read(Body::from(vec![0; 8_000])).await.unwrap();
        assert_eq!(kind(budget.read(Body::from(vec![0; 4_000])).await), Kind::Overloaded);
        drop(first);
        assert!(budget.read(Body::from(vec![0; 4_000])).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up() {
        let budget = Budget::new(8_000, Duration::from_secs(30), 1 << 20);
        let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(kind(budget.read(never).await), Kind::RequestTimeout);
    }
}
