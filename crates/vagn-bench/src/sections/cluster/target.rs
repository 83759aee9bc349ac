//! A target of calls for help that accepts all, and notes when the first notice about each vehicle has come.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

/// Longest head and body that are read of a notice.
const NOTICE_MAX: usize = 64 * 1024;

/// Pause between two looks whether it is over, while a connection is silent.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The target.
pub(super) struct Target {
    listener: TcpListener,
    address: SocketAddr,
    /// Time at which the first notice about each vehicle had come.
    came: Mutex<HashMap<String, Instant>>,
    is_over: AtomicBool,
}

impl Target {
    /// Binds one to a free port of loopback.
    pub(super) fn bind() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("bind the socket of a target")?;
        let address = listener.local_addr().context("ask for its address")?;
        Ok(Self { listener, address, came: Mutex::default(), is_over: AtomicBool::new(false) })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/calls", self.address)
    }

    /// Serves until it is over, each connection on a thread of its own: nodes open as many as their settings say.
    pub(super) fn serve<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        for stream in self.listener.incoming().map_while(Result::ok) {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            scope.spawn(move || {
                // A node that hangs up has no more to say.
                let _ended = self.converse(stream);
            });
        }
    }

    /// Ends all that serves.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _connected = TcpStream::connect(self.address);
    }

    /// Returns the time at which the first notice about a vehicle had come.
    pub(super) fn came(&self, vehicle: &str) -> Option<Instant> {
        self.lock().get(vehicle).copied()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers notice after notice of a connection.
    fn converse(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK_EVERY))?;
        let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
        while !self.is_over.load(Ordering::Relaxed) {
            while let Some((vehicle, len)) = notice(&bytes)? {
                let now = Instant::now();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
                self.lock().entry(vehicle).or_insert(now);
                bytes.drain(..len);
            }
            ensure!(bytes.len() < NOTICE_MAX, "a notice is too long");
            match stream.read(&mut chunk) {
                Ok(0) => break,
                Ok(len) => bytes.extend_from_slice(&chunk[..len]),
                Err(err) if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(err) => return Err(err.into()),
            }
        }
        Ok(())
    }
}

/// Returns the vehicle of the first notice in these bytes and the notice's length, once all of it is there.
fn notice(bytes: &[u8]) -> anyhow::Result<Option<(String, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).context("read the head of a notice")?;
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let len = lines.find_map(|(name, value)| name.eq_ignore_ascii_case("content-length").then_some(value));
    let len: usize = len.context("it has no length")?.parse().context("read its length")?;
    let Some(body) = bytes.get(end..end + len) else { return Ok(None) };
    let body: Value = serde_json::from_slice(body).context("read a notice")?;
    Ok(Some((body["vehicle_id"].as_str().unwrap_or_default().to_owned(), end + len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_read_once_all_of_it_is_there() {
        let one = b"POST /calls HTTP/1.1\r\nContent-Length: 22\r\n\r\n{\"vehicle_id\":\"bus 7\"}";
        let (head, two) = (one.len() - 1, [&one[..], one].concat());
        assert!(notice(&one[..head]).unwrap().is_none());
        assert_eq!(notice(&two).unwrap(), Some(("bus 7".to_owned(), one.len())));
        assert!(notice(b"POST /calls HTTP/1.1\r\n\r\n").is_err());
    }
}
