//! What a service manager is told: that the service is ready, reloads, stops, and is alive (`sd_notify(3)` of systemd).
//!
//! Messages are datagrams of lines to a socket that the manager names in the environment. Without it nothing is told.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use vagn_otp::ProcessInfo;

/// Hang limits after which a part that supervision ends and starts again still hangs: then it is supervision that does not work.
const HANGS: u32 = 3;

/// Parts that may wait for a disk, which no other process would wait for a shorter time.
const ON_DISK: [&str; 3] = ["traffic/stores/", "emergency/incidents", "emergency/incident-reader"];

/// The service manager.
#[derive(Debug)]
pub(super) struct Manager {
    socket: Option<UnixDatagram>,
    /// Time in which the manager wants to hear that the service is alive.
    watchdog: Option<Duration>,
}

impl Manager {
    /// Finds the manager that the environment names.
    pub(super) fn of_environment() -> Self {
        let text = |name| env::var(name).ok();
        let is_ours = text("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = text("WATCHDOG_USEC").filter(|_| is_ours).and_then(|usec| usec.parse().ok());
        let socket = text("NOTIFY_SOCKET").and_then(|address| connect(&address).ok());
        Self { socket, watchdog: watchdog.map(Duration::from_micros) }
    }

    /// Returns the pause between two signs of life; `None` when the manager does not ask for them.
    pub(super) fn beat_every(&self) -> Option<Duration> {
        self.socket.as_ref().and(self.watchdog).map(|within| within / 3)
    }

    /// The service listens: alarms are taken.
    pub(super) fn listening(&self) {
        self.tell("READY=1\nSTATUS=takes alarms; reads its store");
    }

    /// All is there.
    pub(super) fn ready(&self) {
        self.tell("STATUS=ready");
    }

    /// Settings are read again.
    pub(super) fn reloading(&self) {
        self.tell("RELOADING=1");
    }

    /// Settings were read again, or could not be.
    pub(super) fn reloaded(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    pub(super) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // It is not waited for: a manager that does not read is no reason to stand still, and finds no sign of life then.
            socket.send(message.as_bytes()).ok();
        }
    }
}

/// Connects to the manager's socket: a path, or a name behind `@`.
fn connect(address: &str) -> io::Result<UnixDatagram> {
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Tells by the process list whether supervision does its work: no part hangs that it could have ended. That the tree runs at all is
/// for the caller to know.
pub(super) fn is_supervised(processes: &[ProcessInfo], hang_limit: Duration) -> bool {
    !processes.iter().any(|info| {
        let below = info.path.split_once('/').map_or("", |(_, below)| below);
        let on_disk = ON_DISK.iter().any(|path| below.starts_with(path));
        !on_disk && info.hung.is_some_and(|hung| hung > hang_limit * HANGS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_otp::{ChildSpec, Strategy, Supervisor};

    #[test]
    fn a_manager_hears_of_each_step() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        let socket = connect(path.to_str().unwrap()).unwrap();
        let manager = Manager { socket: Some(socket), watchdog: Some(Duration::from_secs(30)) };
        assert_eq!(manager.beat_every(), Some(Duration::from_secs(10)));
        manager.listening();
        manager.alive();
        manager.stopping();
        let said = || {
            let mut buffer = [0; 200];
            let len = heard.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..len]).into_owned()
        };
        assert!(said().starts_with("READY=1\nSTATUS="));
        assert_eq!([said(), said()], ["WATCHDOG=1", "STOPPING=1"]);
        assert_eq!(Manager { socket: None, watchdog: Some(Duration::from_secs(30)) }.beat_every(), None);
    }

    #[tokio::test]
    async fn supervision_works_while_nothing_hangs_that_it_could_end() {
        let child = |name: &str| {
            ChildSpec::task(name, async |ctx| {
                ctx.ready();
                ctx.stopping().await;
                Ok(())
            })
        };
        let stores = Supervisor::new("stores", Strategy::OneForOne).child(child("storage-0"));
        let traffic = Supervisor::new("traffic", Strategy::OneForOne).child(ChildSpec::supervisor(stores));
        let root = Supervisor::new("vagn", Strategy::OneForOne)
            .child(child("ops"))
            .child(ChildSpec::supervisor(traffic));
        let root = root.start().await.unwrap();
        let mut list = root.processes().list();
        let limit = Duration::from_secs(10);
        let mut hang = |name: &str, secs: u64| {
            let info = list.iter_mut().find(|info| info.path.ends_with(name)).unwrap();
            info.hung = Some(Duration::from_secs(secs));
            is_supervised(&list, limit)
        };
        assert!(hang("ops", 20), "it is about to be started again");
        assert!(hang("storage-0", 3_600), "a disk hangs, and would do so for the next process");
        assert!(!hang("ops", 31));
    }
}
