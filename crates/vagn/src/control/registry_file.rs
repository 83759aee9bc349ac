//! Opening the registry of a data directory, with the key from `registry.key_file`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use vagn_registry::{Bucket, Registry, RegistryError};
use vagn_store::{PartList, StoreError};

/// Longest key file, in bytes: 44 characters and the end of the line.
const KEY_FILE_MAX: u64 = 256;

/// The reason that the registry cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RegistryFault {
    /// The key file cannot be used.
    #[error("`registry.key_file` {} {why}", path.display())]
    KeyFile {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong, and what helps.
        why: String,
    },
    /// The registry was there, and is lost.
    #[error(transparent)]
    Lost(#[from] StoreError),
    /// The file cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Opens the registry in a data directory, or begins one where there never was any. `key_file` has the key that wraps secrets.
///
/// # Errors
/// The registry is lost, cannot be read, or has secrets that the key does not unwrap.
pub fn open_registry(
    data_dir: &Path,
    parts: &PartList,
    key_file: Option<&Path>,
) -> Result<Registry, RegistryFault> {
    let key = key_file.map(read_key).transpose()?;
    // A registry that is missing must not be made anew: without its tokens the API would be open.
    parts.check(Registry::FILE)?;
    let registry = Registry::open(data_dir, key.as_ref())?;
    parts.add(Registry::FILE)?;
    Ok(registry)
}

/// Opens the copy of a cluster's registry in a data directory, or begins one, and returns it with the mark of the key. Writes go to `bucket`.
///
/// # Errors
/// As [`open_registry`].
pub fn open_copy(
    data_dir: &Path,
    key_file: Option<&Path>,
    bucket: Arc<dyn Bucket>,
) -> Result<(Registry, Option<String>), RegistryFault> {
    let key = key_file.map(read_key).transpose()?;
    let dir = data_dir.join(Registry::COPY_DIR);
    if let Err(source) = std::fs::create_dir_all(&dir) {
        let why = source.to_string();
        return Err(RegistryError::File { path: dir, why }.into());
    }
    let registry = Registry::open_copy(&dir, key.as_ref(), bucket)?;
    Ok((registry, Registry::key_mark(key.as_ref())))
}

/// Opens the copy of a cluster's registry in the data directory of a node that does not run, for lists.
///
/// # Errors
/// As [`open_registry`]; also when there is none.
pub fn read_copy(data_dir: &Path, key_file: Option<&Path>) -> Result<Registry, RegistryFault> {
    let key = key_file.map(read_key).transpose()?;
    Ok(Registry::open_copy_to_read(&data_dir.join(Registry::COPY_DIR), key.as_ref())?)
}

/// Opens the registry in a data directory for lists: nothing is changed, and secrets in clear are not wrapped.
///
/// # Errors
/// As [`open_registry`]; also when there is none.
pub fn read_registry(
    data_dir: &Path,
    parts: &PartList,
    key_file: Option<&Path>,
) -> Result<Registry, RegistryFault> {
    let key = key_file.map(read_key).transpose()?;
    parts.check(Registry::FILE)?;
    Ok(Registry::open_to_read(data_dir, key.as_ref())?)
}

/// Reads a wrapping key: 32 bytes in base64.
///
/// # Errors
/// There is no such file, or no key in it.
pub fn read_key(path: &Path) -> Result<[u8; 32], RegistryFault> {
    let fault = |why: String| RegistryFault::KeyFile { path: path.to_owned(), why };
    let text = read_text(path).map_err(|err| fault(format!("cannot be read: {err}")))?;
    let key = STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
    key.ok_or_else(|| {
        fault(
            "has no key: write 32 random bytes in base64 into it, as `openssl rand -base64 32` prints them"
                .into(),
        )
    })
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(KEY_FILE_MAX).read_to_string(&mut text)?;
    Ok(text)
}
