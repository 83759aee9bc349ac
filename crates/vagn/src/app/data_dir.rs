//! Opening of the data directory. A command that has it is waited for; another service is not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;
use vagn_store::disk::RealDisk;
use vagn_store::{DataDir, StoreError};

use super::{StartError, is_unusable};
use crate::config::Settings;
use crate::control::{self, ClientError};

/// Longest wait for a command that has the data directory: nearly all need less. Shorter than a stop may take, which may be asked for
/// meanwhile.
const COMMAND_WITHIN: Duration = Duration::from_secs(5);

/// Pause between two tries: shorter than a process needs to start, so that commands in a row do not keep the service out.
const TRY_EVERY: Duration = Duration::from_millis(5);

/// Opens the data directory of these settings.
pub(super) fn open(settings: &Settings) -> Result<DataDir, StartError> {
    let mut waits_until = None;
    let opened = patiently(settings, &mut |in_use| {
        let now = Instant::now();
        let until = *waits_until.get_or_insert_with(|| {
            warn!(within = ?COMMAND_WITHIN, "{in_use}; the start waits for its end");
            now + COMMAND_WITHIN
        });
        std::thread::sleep(TRY_EVERY);
        now < until
    });
    opened.map_err(|err| explained(settings, err))
}

/// Tries again for as long as a command has it and `pause` returns true.
fn patiently(settings: &Settings, pause: &mut dyn FnMut(&StoreError) -> bool) -> Result<DataDir, StoreError> {
    let dir = &settings.data_dir;
    let partitions = (settings.partitions > 0).then_some(settings.partitions);
    loop {
        match DataDir::open(Arc::new(RealDisk), dir, partitions, fastrand::u64(..)) {
            // A service answers commands as soon as it listens. One that has not come so far is waited for as well.
            Err(in_use @ StoreError::InUse { .. })
                if matches!(control::connect(dir), Err(ClientError::NoService)) && pause(&in_use) => {}
            opened => return opened,
        }
    }
}

fn explained(settings: &Settings, err: StoreError) -> StartError {
    match err {
        StoreError::InUse { .. } => StartError::InUse(format!(
            "{err}; stop it, or wait until it has ended, or name another directory with --data-dir"
        )),
        StoreError::Io { ref source, .. } if is_unusable(source.kind()) => StartError::Unusable(format!(
            "`data_dir` {} cannot be used: {:#}; choose a directory that the service's user may write, with --data-dir",
            settings.data_dir.display(),
            anyhow::Error::new(err)
        )),
        StoreError::Io { .. } | StoreError::Full { .. } | StoreError::Failed { .. } => {
            StartError::Other(anyhow::Error::new(err).context("open the data directory"))
        }
        // Damage, or another version. The message names file and remedy, and starting again without it will not help.
        other => StartError::Unusable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::ControlSocket;

    fn settings(dir: &tempfile::TempDir) -> Settings {
        Settings { data_dir: dir.path().to_owned(), ..Settings::default() }
    }

    #[test]
    fn a_command_that_has_the_directory_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(&dir);
        let mut command = Some(patiently(&settings, &mut |_| false).unwrap());
        let refused = patiently(&settings, &mut |_| false).map(drop);
        assert!(matches!(refused, Err(StoreError::InUse { .. })), "it is not waited for without an end");
        let waited = patiently(&settings, &mut |_| {
            command = None;
            true
        });
        assert!(waited.is_ok());
    }

    #[test]
    fn another_service_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(&dir);
        let _service = patiently(&settings, &mut |_| false).unwrap();
        let _socket = ControlSocket::bind(dir.path()).unwrap();
        let refused = patiently(&settings, &mut |_| panic!("it waits")).map(drop);
        assert!(matches!(refused, Err(StoreError::InUse { .. })));
    }
}
