//! Opening of the registry: devices, tokens, sessions and shares.

use std::path::Path;

use vagn_registry::{Registry, RegistryError};
use vagn_store::DataDir;

use super::StartError;
use crate::config::Settings;
use crate::control::{self, RegistryFault};

/// Opens the registry of a single machine.
pub(super) fn open(settings: &Settings, data: &DataDir) -> Result<(Registry, Option<String>), StartError> {
    let opened = control::open_registry(&settings.data_dir, &data.part_list(), key_file(settings));
    // Its mark is for nodes of a cluster alone.
    opened.map(|registry| (registry, None)).map_err(|err| explained(&settings.data_dir, err))
}

/// Returns the file with the key that wraps secrets, if one is set.
pub(super) fn key_file(settings: &Settings) -> Option<&Path> {
    Some(&*settings.registry.key_file).filter(|path| !path.as_os_str().is_empty())
}

/// Says what is wrong with a registry in `data_dir`, and what helps.
pub(super) fn explained(data_dir: &Path, err: RegistryFault) -> StartError {
    match err {
        // A service that ends lets go of its directory before it has closed all files.
        RegistryFault::Registry(RegistryError::InUse) => StartError::InUse(format!(
            "the data directory {} is in use by another process, which has the registry in it open; stop it, or wait until it has ended, or name another \
             directory with --data-dir",
            data_dir.display()
        )),
        RegistryFault::Registry(RegistryError::Failed(_)) => {
            StartError::Other(anyhow::Error::new(err).context("open the registry"))
        }
        err => StartError::Unusable(err.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_another_process_still_has_is_told_by_its_directory_and_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: dir.path().to_owned(), ..Settings::default() };
        let data = crate::app::data_dir::open(&settings).unwrap();
        // As a service that ends: it has let go of the directory, and not of this file.
        let _held = Registry::open(dir.path(), None).unwrap();
        let Err(StartError::InUse(said)) = open(&settings, &data) else { panic!("it is in use") };
        for word in [&*dir.path().display().to_string(), "in use by another process", "--data-dir"] {
            assert!(said.contains(word), "{said}");
        }
    }
}
