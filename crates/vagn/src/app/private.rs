//! Keeps the data directory for the service's user alone, and says in the log what was not.

use std::path::Path;

use tracing::warn;
use vagn_store::private::{Rights, tighten};

/// Most files that are named in the log.
const NAMED_MAX: usize = 5;

/// Tightens the rights of all that is there.
pub(super) fn keep(data_dir: &Path) {
    let Rights { open, stuck } = tighten(data_dir);
    if let Some(first) = open.first() {
        warn!(count = open.len(), first = %first.display(), "other users could read the data directory; it is private now");
    }
    for (path, err) in stuck.iter().take(NAMED_MAX) {
        warn!(path = %path.display(), count = stuck.len(), error = %err, "other users can read this, and it cannot be made private");
    }
}
