//! Sending over UDP, in batches.
//!
//! A batch that fills up because more is due than was sent goes out as segments (`UDP_SEGMENT`), as far as its reports have
//! the same length. Alarms never do: the server's kernel chooses the socket by the last byte of a message, and segments are
//! one message, so that an alarm among positions would go to the socket for positions.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::{
    mmsg::{SEND_MAX, send_each, send_segments},
    source::{Batch, NAP_MAX, Next, Source, Tally},
    target::{Target, TargetError},
    trace::TraceError,
};

/// Longest wait for room in the socket's send buffer.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// Most refusals in a row before any report got through: it is most likely the wrong port.
const REFUSALS_AT_FIRST: u32 = 3;

/// Most refusals in a row after that, when the server most likely restarts: ten seconds at [`REFUSED_NAP`] each.
const REFUSALS_LATER: u32 = 1000;

/// Pause after a refusal.
const REFUSED_NAP: Duration = Duration::from_millis(10);

/// Reason why sending ended early.
#[derive(Debug, Error)]
pub enum UdpError {
    /// The target has no address.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// No socket could be opened.
    #[error("cannot open a socket to udp {0}")]
    Socket(Target, #[source] io::Error),
    /// A send failed for good.
    #[error("cannot send to udp {0}")]
    Send(Target, #[source] io::Error),
    /// No server listens at the target.
    #[error("nothing listens on udp {0}; is `vagn serve` running?")]
    Refused(Target),
    /// The trace to be sent cannot be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

/// The caller's view of sending, and its switch.
pub struct Watch<'a> {
    /// Ends sending early when it is set.
    pub stop: &'a AtomicBool,
    /// Called after each batch with the counts so far.
    pub progress: &'a mut dyn FnMut(&Tally),
}

/// Reports that were sent, and the time that it took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sent {
    /// Counts of the reports.
    pub tally: Tally,
    /// Time from the first report to the last.
    pub took: Duration,
}

impl Sent {
    /// Reports per second on average.
    pub fn rate(&self) -> f64 {
        self.tally.reports as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// Sends all that `source` has to the target, each report when it is due.
///
/// # Errors
/// When the target cannot be reached from the start, or refuses for ten seconds in a row. A shorter restart of the server is
/// waited for.
pub fn send_all(source: &mut impl Source, target: &Target, watch: &mut Watch<'_>) -> Result<Sent, UdpError> {
    let mut sender = Sender::connect(target)?;
    let mut batch = Batch::default();
    let mut sent = Sent::default();
    let start = Instant::now();
    while !watch.stop.load(Ordering::Relaxed) {
        let next = batch.fill(source, start.elapsed(), SEND_MAX)?;
        sender.send(&batch)?;
        batch.count_into(&mut sent.tally);
        (watch.progress)(&sent.tally);
        match next {
            Next::End => break,
            Next::Wait(wait) if batch.is_empty() => thread::sleep(wait.min(NAP_MAX)),
            _ => {}
        }
    }
    sender.finish()?;
    sent.took = start.elapsed();
    Ok(sent)
}

/// A socket to one server.
pub struct Sender {
    socket: UdpSocket,
    target: Target,
    segments: bool,
    reached: bool,
    refusals: u32,
    unrefused: u32,
}

impl Sender {
    /// Opens a socket to the target's first address.
    ///
    /// # Errors
    /// When the target has no address or no socket can be opened.
    pub fn connect(target: &Target) -> Result<Self, UdpError> {
        let address = target.addresses()?[0];
        let socket = open(address).map_err(|err| UdpError::Socket(target.clone(), err))?;
        Ok(Self { socket, target: target.clone(), segments: true, reached: false, refusals: 0, unrefused: 0 })
    }

    /// Sends each datagram through the network stack on its own, as vehicles do, even when many are due.
    pub fn without_segments(self) -> Self {
        Self { segments: false, ..self }
    }

    /// Sends every report of the batch as a datagram.
    ///
    /// # Errors
    /// When the server refuses from the start or for long, or a send fails otherwise.
    pub fn send(&mut self, batch: &Batch) -> Result<(), UdpError> {
        let reports: Vec<_> = batch.reports().collect();
        let segments = self.segments && reports.len() >= SEND_MAX;
        if !segments {
            return self.send_each(reports.iter().map(|(bytes, _)| *bytes));
        }
        let mut rest = batch.bytes();
        for run in reports.chunk_by(|one, other| is_run(*one, *other)) {
            let size = run[0].0.len();
            let (bytes, later) = rest.split_at(run.len() * size);
            self.send_run(bytes, size)?;
            rest = later;
        }
        Ok(())
    }

    /// Checks that the last datagram was not refused; on the same machine that is known at once.
    ///
    /// # Errors
    /// When it was, and nothing got through before.
    pub fn finish(&self) -> Result<(), UdpError> {
        let refused = self.socket.take_error().ok().flatten().is_some();
        if refused && self.unrefused <= 1 { Err(UdpError::Refused(self.target.clone())) } else { Ok(()) }
    }

    /// Sends `bytes` as datagrams of `size`.
    fn send_run(&mut self, bytes: &[u8], size: usize) -> Result<(), UdpError> {
        if self.segments && bytes.len() > size {
            let segment = u16::try_from(size).expect("a report is at most some hundred bytes long");
            match self.patiently(|socket| send_segments(socket, bytes, segment)) {
                Err(UdpError::Send(_, err)) if is_unsupported(&err) => self.segments = false,
                done => return done,
            }
        }
        self.send_each(bytes.chunks(size))
    }

    fn send_each<'a>(&mut self, reports: impl Iterator<Item = &'a [u8]> + Clone) -> Result<(), UdpError> {
        let mut rest = reports;
        loop {
            let asked = rest.clone().take(SEND_MAX).count();
            if asked == 0 {
                return Ok(());
            }
            let sent = self.patiently(|socket| send_each(socket, rest.clone()))?;
            if sent > 0 {
                // Skips the reports that were sent.
                rest.nth(sent - 1);
            }
            if sent < asked {
                // The kernel does not say why it stopped, and has forgotten it by the next system call.
                self.refused()?;
            }
        }
    }

    /// Sends, and tries again after a signal, when buffers are full, and when the server refused.
    fn patiently<T>(&mut self, send: impl Fn(&UdpSocket) -> io::Result<T>) -> Result<T, UdpError> {
        loop {
            let err = match send(&self.socket) {
                Ok(done) => return Ok(self.unrefused(done)),
                Err(err) => err,
            };
            match err.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::ConnectionRefused => self.refused()?,
                _ if err.raw_os_error() == Some(libc::ENOBUFS) => thread::sleep(Duration::from_millis(1)),
                _ => return Err(UdpError::Send(self.target.clone(), err)),
            }
        }
    }

    fn unrefused<T>(&mut self, done: T) -> T {
        self.unrefused = self.unrefused.saturating_add(1);
        if self.unrefused > 1 {
            self.refusals = 0;
            self.reached = true;
        }
        done
    }

    /// Counts a refusal. The send *after* the refused one reports it, so that every second send succeeds without a server.
    fn refused(&mut self) -> Result<(), UdpError> {
        self.unrefused = 0;
        self.refusals += 1;
        let most = if self.reached { REFUSALS_LATER } else { REFUSALS_AT_FIRST };
        if self.refusals >= most {
            return Err(UdpError::Refused(self.target.clone()));
        }
        thread::sleep(REFUSED_NAP);
        Ok(())
    }
}

/// Returns true when two reports may be segments of one message.
fn is_run(one: (&[u8], bool), other: (&[u8], bool)) -> bool {
    one.0.len() == other.0.len() && !one.1 && !other.1
}

/// Returns true when the kernel or the network card cannot cut a message into segments.
pub(crate) fn is_unsupported(err: &io::Error) -> bool {
    matches!(
        err.raw_os_error(),
        Some(libc::EINVAL | libc::EIO | libc::EOPNOTSUPP | libc::ENOPROTOOPT | libc::EMSGSIZE)
    )
}

/// Opens a socket that sends to `address` and receives from it alone.
pub(crate) fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_write_timeout(Some(SEND_WITHIN))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fleet::{Extras, Fleet, FleetSettings},
        pace::Rate,
    };

    fn fleet(count: u64, emergency_ratio: f64) -> Fleet {
        Fleet::new(FleetSettings {
            vehicles: 100,
            rate: Rate::Max,
            count: Some(count),
            duration: None,
            emergency_ratio,
            seed: 1,
            extras: Extras::default(),
        })
    }

    fn run(source: &mut Fleet, target: SocketAddr) -> Result<Sent, UdpError> {
        let stop = AtomicBool::new(false);
        let target = target.to_string().parse().unwrap();
        send_all(source, &target, &mut Watch { stop: &stop, progress: &mut |_| {} })
    }

    #[test]
    fn every_report_arrives_as_it_was_made() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // Few enough for the smallest receive buffer, so that none can be lost.
        let sent = run(&mut fleet(150, 0.1), receiver.local_addr().unwrap()).unwrap();
        assert_eq!(sent.tally.reports, 150);

        let mut made = Vec::new();
        let mut arrived = Vec::new();
        let mut alarms = 0;
        let mut again = fleet(150, 0.1);
        let mut slot = [0; 2048];
        for _ in 0..150 {
            let mut bytes = Vec::new();
            let next = again.next(Duration::ZERO, &mut bytes).unwrap();
            alarms += u64::from(next == Next::Report { emergency: true });
            made.push(bytes);
            let len = receiver.recv(&mut slot).unwrap();
            arrived.push(slot[..len].to_vec());
        }
        assert_eq!(arrived, made);
        assert_eq!(sent.tally.emergencies, alarms);
        assert!(alarms > 0);
    }

    #[test]
    fn answers_that_are_not_read_do_no_harm() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let address = server.local_addr().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..150 {
                    let (_, sender) = server.recv_from(&mut [0; 2048]).unwrap();
                    // Far more than fit into the sender's buffer; some may come after it has closed.
                    for _ in 0..20 {
                        assert!(server.send_to(&[0; 1000], sender).is_ok());
                    }
                }
            });
            assert_eq!(run(&mut fleet(150, 0.5), address).unwrap().tally.reports, 150);
        });
    }

    #[test]
    fn says_when_nothing_listens() {
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for count in [1, 2, 64, 500] {
            let err = run(&mut fleet(count, 0.0), closed).unwrap_err();
            assert!(matches!(err, UdpError::Refused(_)), "{count}: {err}");
        }
    }

    #[test]
    fn an_emergency_is_never_part_of_a_run() {
        let check = |one: (&[u8], bool), other: (&[u8], bool), want| assert_eq!(is_run(one, other), want);
        check((b"aa", false), (b"bb", false), true);
        check((b"aa", false), (b"bbb", false), false);
        check((b"aa", true), (b"bb", false), false);
        check((b"aa", true), (b"bb", true), false);
    }
}
