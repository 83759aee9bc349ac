//! The socket in its directory, however long the path is: the address of a Unix socket has at most 107 bytes, so it is named
//! through the descriptor of its directory.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Name of the socket in the data directory.
pub const SOCKET: &str = "control";

/// The service's user alone may connect.
const MODE: u32 = 0o600;

/// The socket, bound before anything starts; it outlives every restart of its server.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
}

impl ControlSocket {
    /// Binds it in a data directory that this process has for itself: one that is there already was left by an earlier run.
    ///
    /// # Errors
    /// It cannot be bound, or another kind of file has its name.
    pub fn bind(data_dir: &Path) -> io::Result<Self> {
        let folder = File::open(data_dir)?;
        let path = within(&folder);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(&path)?,
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "another file has this name; move it away",
                ));
            }
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            Err(_) => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(MODE))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    /// Returns the listener for one incarnation of the server.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

/// Connects to the socket in a data directory.
pub(super) fn connect(data_dir: &Path) -> io::Result<UnixStream> {
    let folder = File::open(data_dir)?;
    UnixStream::connect(within(&folder))
}

fn within(folder: &File) -> PathBuf {
    format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()).into()
}
