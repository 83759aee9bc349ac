//! The shelf: where the incident store stands when it works, and why not when it does not.
//!
//! It belongs to no incarnation of the actor that writes: one that hangs in a sync keeps the store busy, and its
//! successor must neither open the file a second time nor wait behind it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::{error, info};

use crate::record::incident::Incident;
use crate::record::store::{Store, StoreError};

/// How long to leave a broken store alone before it is opened again.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// Opens the store.
pub type Opener = Box<dyn Fn() -> Result<Store, StoreError> + Send + Sync>;

/// Where the store stands.
pub struct Shelf {
    opener: Opener,
    place: Mutex<Fix>,
}

#[derive(Default)]
struct Fix {
    store: Option<Arc<Store>>,
    failure: Option<String>,
    not_before: Duration,
    given_up: bool,
}

impl Shelf {
    /// An empty shelf.
    pub fn new(opener: Opener) -> Self {
        Self { opener, place: Mutex::default() }
    }

    /// The store, if it works.
    pub fn store(&self) -> Option<Arc<Store>> {
        self.place.lock().store.clone()
    }

    /// What is wrong with the store, if something is.
    pub fn failure(&self) -> Option<String> {
        self.place.lock().failure.clone()
    }

    /// Opens the store if it is not there and it is time to try (again) at `now`. Gives what is live in it.
    pub fn open(&self, now: Duration) -> Option<Vec<Incident>> {
        {
            let place = self.place.lock();
            if place.store.is_some() || place.given_up || now < place.not_before {
                return None;
            }
        }
        match catch_unwind(AssertUnwindSafe(|| self.try_open())).unwrap_or(Err(StoreError::Panicked)) {
            Ok((live, store)) => {
                *self.place.lock() = Fix { store: Some(Arc::new(store)), ..Fix::default() };
                info!(live = live.len(), "incident store is open");
                Some(live)
            }
            Err(err) => {
                self.note(&err, now);
                None
            }
        }
    }

    fn try_open(&self) -> Result<(Vec<Incident>, Store), StoreError> {
        let store = (self.opener)()?;
        Ok((store.live()?, store))
    }

    /// Notes that the store could not save. A busy one stays; any other is taken down and opened again later, but never
    /// after a failed sync: then nothing on top of it could be trusted.
    pub fn failed(&self, err: &StoreError, now: Duration) {
        self.note(err, now);
        if matches!(err, StoreError::Busy) {
            return;
        }
        let mut place = self.place.lock();
        if let Some(store) = place.store.take() {
            place.given_up = store.sync_failed();
        }
    }

    /// The store has saved: whatever was wrong is over.
    pub fn saved(&self) {
        let failure = self.place.lock().failure.take();
        if failure.is_some() {
            info!("incidents are recorded again");
        }
    }

    /// Closes the store, as soon as nobody uses it any more. It may be opened again.
    pub fn put_away(&self) {
        drop(self.place.lock().store.take());
    }

    fn note(&self, err: &StoreError, now: Duration) {
        let failure = err.to_string();
        let known = {
            let mut place = self.place.lock();
            place.not_before = now + REOPEN_AFTER;
            place.failure.replace(failure.clone())
        };
        // Not under the lock: a log that stands still must hold up nobody.
        if known != Some(failure) {
            error!(error = %err, "incidents cannot be recorded; calls go out all the same");
        }
    }
}
