//! The shelf: holds the incident store while it works, and the reason while it does not.
//!
//! It belongs to no life of the actor that writes: one that hangs in a sync keeps the store busy, and the next one must
//! neither open the file a second time nor wait behind it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::{error, info, warn};

use crate::record::incident::Incident;
use crate::record::store::{FILE, Recall, Recalled, Store, StoreError};

/// Time for which a broken store is left alone before it is opened again.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// Function that opens the store, with these saves of its journal.
pub type Opener = Box<dyn Fn(Recall) -> Result<Store, StoreError> + Send + Sync>;

/// Function that returns the incidents that are live by the journal alone.
pub type Salvage = Box<dyn Fn() -> Vec<Incident> + Send + Sync>;

/// The store while it works, shared by all actors.
pub struct Shelf {
    opener: Opener,
    salvage: Option<Salvage>,
    state: Mutex<StoreState>,
    history: Mutex<StoreHistory>,
}

/// What the openings of this run have found. It is shown until the next start: the disk is to be looked after.
#[derive(Debug, Clone, Default)]
pub struct StoreHistory {
    /// True once the store was open in this run.
    pub was_open: bool,
    /// True once the journal was asked instead of the store.
    pub was_salvaged: bool,
    /// Warning about a store that had rolled back.
    pub rolled_back: Option<String>,
    /// Fault of a journal that was begun anew.
    pub journal: Option<String>,
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
        Self { opener, salvage: None, state: Mutex::default(), history: Mutex::default() }
    }

    /// Asks the journal what is live when the store cannot be opened at the start.
    pub fn with_salvage(self, salvage: Salvage) -> Self {
        Self { salvage: Some(salvage), ..self }
    }

    /// Returns the store, if it works.
    pub fn store(&self) -> Option<Arc<Store>> {
        self.state.lock().store.clone()
    }

    /// Returns the fault of the store, if it has one.
    pub fn failure(&self) -> Option<String> {
        self.state.lock().failure.clone()
    }

    /// Returns what the openings of this run have found.
    pub fn history(&self) -> StoreHistory {
        self.history.lock().clone()
    }

    /// Opens the store if it is not open and it is time to try at `now`. Returns the incidents that are live in it. If it
    /// cannot be opened, returns once those that are live by the journal: their calls are owed. Gives signs of life while it reads.
    pub fn open(&self, now: Duration, beat: &dyn Fn()) -> Option<Vec<Incident>> {
        {
            let state = self.state.lock();
            if state.store.is_some() || state.given_up || now < state.not_before {
                return None;
            }
        }
        match catch_unwind(AssertUnwindSafe(|| self.try_open(beat))).unwrap_or(Err(StoreError::Panicked)) {
            Ok((live, store)) => {
                self.remember(store.recalled());
                *self.state.lock() = StoreState { store: Some(Arc::new(store)), ..StoreState::default() };
                info!(live = live.len(), "incident store is open");
                Some(live)
            }
            Err(err) => {
                self.note(&err, now);
                self.salvage()
            }
        }
    }

    fn salvage(&self) -> Option<Vec<Incident>> {
        let salvage = self.salvage.as_ref()?;
        {
            let mut history = self.history.lock();
            if history.was_open || std::mem::replace(&mut history.was_salvaged, true) {
                return None;
            }
        }
        let live = catch_unwind(AssertUnwindSafe(salvage)).ok().filter(|live| !live.is_empty())?;
        warn!(live = live.len(), "incidents of the journal are gone on with, as the store cannot be opened");
        Some(live)
    }

    fn try_open(&self, beat: &dyn Fn()) -> Result<(Vec<Incident>, Store), StoreError> {
        let was_open = self.history.lock().was_open;
        let store = (self.opener)(if was_open { Recall::Confirmed } else { Recall::All })?;
        beat();
        Ok((store.read_live(beat)?, store))
    }

    /// Remembers what an opening has found in the journal, and logs it.
    fn remember(&self, recalled: &Recalled) {
        let warning = recalled.warning();
        {
            let mut history = self.history.lock();
            history.was_open = true;
            history.rolled_back = warning.clone().or(history.rolled_back.take());
            history.journal = recalled.journal.clone().or(history.journal.take());
        }
        if let Some(warning) = warning {
            error!(file = FILE, "incident store had rolled back: {warning}");
        }
        if recalled.finished > 0 {
            info!(saves = recalled.finished, "saves that an earlier run had not finished are finished");
        }
        if let Some(fault) = &recalled.journal {
            warn!(%fault, "incident journal was begun anew");
        }
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
