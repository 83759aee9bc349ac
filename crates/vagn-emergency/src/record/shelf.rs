//! The shelf: holds the incident store while it works, and the reason while it does not.
//!
//! It belongs to no life of the actor that writes: one that hangs in a sync keeps the store busy, and the next one must
//! neither open the file a second time nor wait behind it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::{error, info};

use crate::record::incident::Incident;
use crate::record::store::{Store, StoreError};

/// Time for which a broken store is left alone before it is opened again.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// Function that opens the store.
pub type Opener = Box<dyn Fn() -> Result<Store, StoreError> + Send + Sync>;

/// The store while it works, shared by all actors.
pub struct Shelf {
    opener: Opener,
    state: Mutex<StoreState>,
}

#[derive(Default)]
struct StoreState {
    store: Option<Arc<Store>>,
    failure: Option<String>,
    /// Earliest time to open it again, on the monotonic clock.
    not_before: Duration,
    /// True after a failed sync: only a new process may open it again.
    given_up: bool,
}

impl Shelf {
    /// A shelf whose store is not open yet.
    pub fn new(opener: Opener) -> Self {
        Self { opener, state: Mutex::default() }
    }

    /// Returns the store, if it works.
    pub fn store(&self) -> Option<Arc<Store>> {
        self.state.lock().store.clone()
    }

    /// Returns the fault of the store, if it has one.
    pub fn failure(&self) -> Option<String> {
        self.state.lock().failure.clone()
    }

    /// Opens the store if it is not open and it is time to try at `now`. Returns the incidents that are live in it.
    pub fn open(&self, now: Duration) -> Option<Vec<Incident>> {
        {
            let state = self.state.lock();
            if state.store.is_some() || state.given_up || now < state.not_before {
                return None;
            }
        }
        match catch_unwind(AssertUnwindSafe(|| self.try_open())).unwrap_or(Err(StoreError::Panicked)) {
            Ok((live, store)) => {
                *self.state.lock() = StoreState { store: Some(Arc::new(store)), ..StoreState::default() };
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

    /// Notes that the store could not save. A busy one stays; any other is closed and opened again after a while, but never
    /// after a failed sync: then nothing on top of it could be trusted.
    pub fn failed(&self, err: &StoreError, now: Duration) {
        self.note(err, now);
        if matches!(err, StoreError::Busy) {
            return;
        }
        let mut state = self.state.lock();
        if let Some(store) = state.store.take() {
            state.given_up = store.sync_failed();
        }
    }

    /// Notes that the store has saved: the fault is over.
    pub fn saved(&self) {
        let failure = self.state.lock().failure.take();
        if failure.is_some() {
            info!("incidents are recorded again");
        }
    }

    /// Closes the store, as soon as its last user lets go of it. It may be opened again.
    pub fn put_away(&self) {
        let store = self.state.lock().store.take();
        // Not under the lock: closing the file may wait for the disk.
        drop(store);
    }

    fn note(&self, err: &StoreError, now: Duration) {
        let failure = err.to_string();
        let known = {
            let mut state = self.state.lock();
            state.not_before = now + REOPEN_AFTER;
            state.failure.replace(failure.clone())
        };
        // Not under the lock: a log that stands still must not hold up the actors.
        if known != Some(failure) {
            error!(error = %err, "incidents cannot be recorded; notices go out all the same");
        }
    }
}
