//! The command's side of the control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::deeds::Tell;
use super::folder;
use super::request::{ControlError, ControlLine, ControlRequest, LINE_MAX, Problem};

/// Longest wait for the service to take the request.
const SEND_WITHIN: Duration = Duration::from_secs(10);

/// Longest wait for a line. A service tells at least so often that it goes on.
const LINE_WITHIN: Duration = Duration::from_secs(120);

/// A connection to the running service, for one request.
#[derive(Debug)]
pub struct Connection(UnixStream);

/// The reason that the service was not reached.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No service runs on this data directory.
    #[error("no service runs on this data directory")]
    NoService,
    /// It cannot be reached.
    #[error("the control socket of the service cannot be used: {0}")]
    Io(#[from] io::Error),
}

/// Connects to the service that runs on a data directory.
///
/// # Errors
/// [`ClientError::NoService`] when there is none; [`ClientError::Io`] when it cannot be reached.
pub fn connect(data_dir: &Path) -> Result<Connection, ClientError> {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    match folder::connect(data_dir) {
        // Refused: the socket of a service that is no more.
        Err(err) if matches!(err.kind(), NotFound | ConnectionRefused) => Err(ClientError::NoService),
        connected => Ok(Connection(connected?)),
    }
}

impl Connection {
    /// Sends a request, and returns the value of the last line of its answer. Lines before that go to `tell`.
    ///
    /// # Errors
    /// What the service answers, or that it cannot be heard.
    pub fn ask(mut self, request: &ControlRequest, tell: &mut Tell<'_>) -> Result<Value, ControlError> {
        let mut line = serde_json::to_vec(request).map_err(|err| {
            ControlError::new(Problem::Invalid, format!("the service cannot be asked for this: {err}"))
        })?;
        line.push(b'\n');
        let sent = self.send(&line);
        // A service that turns a command away answers before it has read all of it.
        self.receive(request, tell).map_err(|err| match sent {
            Err(source) if err.problem == Problem::Failed => unheard(&source),
            _ => err,
        })
    }

    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.set_write_timeout(Some(SEND_WITHIN))?;
        self.0.set_read_timeout(Some(LINE_WITHIN))?;
        self.0.write_all(line)
    }

    fn receive(&self, request: &ControlRequest, tell: &mut Tell<'_>) -> Result<Value, ControlError> {
        let mut lines = BufReader::new(&self.0);
        loop {
            let mut text = Vec::new();
            let read = lines.by_ref().take(LINE_MAX as u64).read_until(b'\n', &mut text);
            read.map_err(|err| match err.kind() {
                io::ErrorKind::ConnectionReset => unanswered(request),
                _ => unheard(&err),
            })?;
            let line = serde_json::from_slice(&text).map_err(|_| unanswered(request))?;
            match line {
                ControlLine::Ok(value) => return Ok(value),
                ControlLine::Error(ControlError { problem: Problem::Doubtful, message }) => {
                    let message = format!("{message}; {}", remedy(request));
                    return Err(ControlError::new(Problem::Doubtful, message));
                }
                ControlLine::Error(err) => return Err(err),
                line => tell(line)?,
            }
        }
    }
}

fn unheard(err: &io::Error) -> ControlError {
    ControlError::new(Problem::Failed, format!("the service cannot be heard: {err}; look at its log"))
}

/// The error when a service was ended, as by a crash: whether the request was fulfilled is not known.
fn unanswered(request: &ControlRequest) -> ControlError {
    let remedy = remedy(request);
    ControlError::new(Problem::Failed, format!("the service stopped before it had answered; {remedy}"))
}

/// Says what to do where it is not known whether a request was fulfilled.
fn remedy(request: &ControlRequest) -> String {
    use ControlRequest as R;
    match request {
        R::DeviceAdd { name, .. } => format!(
            "if `vagn device list` shows a key of {name}, its secret is lost: `vagn device rotate {name}` makes another"
        ),
        R::DeviceRotate { name } => format!("run it again: `vagn device rotate {name}` makes another secret"),
        R::TokenAdd { name, .. } => format!(
            "if `vagn token list` shows {name}, it is lost: `vagn token revoke {name}`, and add one with another name"
        ),
        R::ShareAdd { vehicle_id, .. } => format!(
            "if `vagn share list` shows a new link to {vehicle_id}, it is lost: end it with `vagn share revoke NUMBER`, and add another"
        ),
        R::Backup { dir } => format!("remove {} if it is there, and make the copy again", dir.display()),
        _ => "run it again".to_owned(),
    }
}
