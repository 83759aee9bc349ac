//! The UDP door: one thread per socket that receives, batches and publishes, and otherwise knows nothing.
//!
//! The socket outlives the thread. What waits in it while the thread is restarted is received by the next incarnation.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use vagn_otp::{Failure, ThreadContext};
use vagn_seal::FIRST_BYTE;
use vagn_wire::{Reject, StoredAck};

use super::ORIGIN;
use super::backoff::Backoff;
use super::gather::Gather;
use super::original::Originals;
use super::outlet::DoorOutlet;
use super::recvmmsg::{Arrival, RECEIVE_MAX, Receiver, Wait};
use super::socket::DoorSocket;
use prometheus_client::metrics::counter::Counter;
use vagn_flow::batch::{BATCH_MAX, BatchBuilder};
use vagn_flow::clock::Clock;
use vagn_flow::guard::{Content, Entry};
use vagn_flow::intake::Intake;
use vagn_flow::metrics::{DoorMetrics, MetricRegistry};
use vagn_flow::open::{Mark, open, reports, sole_report};
use vagn_flow::proof::Proof;
use vagn_flow::reply::ReplyTo;
use vagn_otp::contention::waited_by_all;

/// Threads that together wait for so great a part of one processor's time share it.
const WAITING_SHARE: f64 = 0.25;

/// Time between two looks at the kernel's count of drops.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Time between two warnings while drops go on; the metric has them all.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// After a failed receive, so that a socket that fails for good does not eat the processor.
const FAULT_PAUSE: Duration = Duration::from_millis(50);

/// Failures in a row before the supervisor is told.
const FAULTS_MAX: u32 = 20;

/// Bytes made room for at once, as for a batch of long reports; more only as they are needed.
const RESERVE_MAX: usize = 64 << 10;

/// Longest that a stopping door goes on reading what already waits.
const DRAIN_MAX: Duration = Duration::from_millis(500);

/// One socket, and what to do with what arrives there.
pub(super) struct UdpDoor {
    pub(super) socket: Arc<DoorSocket>,
    pub(super) outlet: Arc<DoorOutlet>,
    pub(super) intake: Intake,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) faults: DoorMetrics,
    pub(super) metrics: UdpMetrics,
    /// The way of the original's answer; `None` where the setting does not ask for it.
    pub(super) originals: Option<Arc<Originals>>,
    pub(super) class: Class,
}

/// Counters of the UDP doors. Clones share their values.
#[derive(Debug, Clone)]
pub(super) struct UdpMetrics {
    kernel_drops: Counter,
}

impl UdpMetrics {
    pub(super) fn new(registry: &MetricRegistry) -> Self {
        let help = "Datagrams dropped by the kernel before Vagn saw them";
        Self { kernel_drops: registry.register("udp_kernel_drops", help, Counter::default()) }
    }
}

/// The traffic that arrives at a door. It decides how long the door may nap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Alarms have a socket of their own: gathers, and backs off when crowded.
    Positions,
    /// The kernel does not keep alarms apart: gathers, and takes in all that comes, since an alarm may be among it.
    Mixed,
    /// Never naps.
    Alarms,
}

/// Result of one look at the socket.
#[derive(Debug, PartialEq, Eq)]
struct Round {
    received: usize,
    /// The last call into the kernel filled up, so more is waiting.
    more: bool,
    /// Reports that found room.
    fitted: usize,
    /// Something older had to be shed for the others.
    crowded: bool,
}

impl UdpDoor {
    /// Receives until it is told to stop, then takes what still waits.
    pub(super) fn run(&self, ctx: &ThreadContext) -> Result<(), Failure> {
        let mut receiver = Receiver::new(self.socket.gives);
        let mut content = Content::default();
        let mut pace = Pace::new(self, ctx.name());
        let mut faults = 0;
        ctx.ready();
        while !ctx.stopping() {
            ctx.beat();
            match self.round(&mut receiver, &mut content, Wait::First, ctx) {
                Ok(round) => {
                    faults = 0;
                    pace.after(&round);
                }
                Err(err) => {
                    faults += 1;
                    self.fault(err, faults)?;
                }
            }
        }
        self.drain(&mut receiver, &mut content, ctx);
        Ok(())
    }

    /// Takes what waits, up to a batch or one call into the kernel, at most waiting for the first, and publishes it.
    fn round(
        &self,
        receiver: &mut Receiver,
        content: &mut Content,
        wait: Wait,
        ctx: &ThreadContext,
    ) -> io::Result<Round> {
        let mut last = receiver.receive(&self.socket.socket, wait)?;
        let _busy = ctx.busy();
        let mut haul = Haul::new(self, content);
        haul.take(receiver, last);
        while last == RECEIVE_MAX && haul.received + RECEIVE_MAX <= BATCH_MAX {
            // An error is found again by the next round, after this one's batch is safe.
            last = receiver.receive(&self.socket.socket, Wait::No).unwrap_or(0);
            haul.take(receiver, last);
        }
        if haul.received > 0 {
            tracing::debug!(door = ctx.name(), datagrams = haul.received, "received");
        }
        Ok(haul.publish(last == RECEIVE_MAX))
    }

    fn fault(&self, err: io::Error, in_a_row: u32) -> Result<(), Failure> {
        self.faults.fault("udp_receive");
        if in_a_row >= FAULTS_MAX {
            return Err(err.into());
        }
        tracing::warn!(error = %err, "failed to receive datagrams");
        std::thread::sleep(FAULT_PAUSE);
        Ok(())
    }

    fn drain(&self, receiver: &mut Receiver, content: &mut Content, ctx: &ThreadContext) {
        let until = self.clock.monotonic() + DRAIN_MAX;
        while self.clock.monotonic() < until {
            ctx.beat();
            match self.round(receiver, content, Wait::No, ctx) {
                Ok(round) if round.received > 0 => {}
                _ => break,
            }
        }
        self.count_drops(ctx.name());
    }

    /// Counts what the kernel dropped since the last look, and says how many.
    fn count_drops(&self, name: &str) -> u32 {
        match self.socket.look() {
            Ok((queued_bytes, drops)) => {
                self.metrics.kernel_drops.inc_by(u64::from(drops));
                if queued_bytes > 0 || drops > 0 {
                    tracing::debug!(door = name, queued_bytes, drops, "queue at the door");
                }
                drops
            }
            Err(err) => {
                tracing::debug!(door = name, error = %err, "the kernel does not tell what it dropped");
                0
            }
        }
    }
}

/// One look at the socket, batch by batch.
struct Haul<'a> {
    door: &'a UdpDoor,
    batch: BatchBuilder,
    /// Open reports need no look.
    takes_all: bool,
    /// Buffer for what is in an envelope.
    content: &'a mut Content,
    received: usize,
    fitted: usize,
    crowded: bool,
}

impl<'a> Haul<'a> {
    fn new(door: &'a UdpDoor, content: &'a mut Content) -> Self {
        let takes_all = door.intake.guard().takes_all();
        let batch = BatchBuilder::new(ORIGIN);
        Self { door, batch, takes_all, content, received: 0, fitted: 0, crowded: false }
    }

    /// Takes the datagrams in the first `count` pieces.
    fn take(&mut self, receiver: &Receiver, count: usize) {
        self.batch.reserve(count, receiver.bytes(count).min(RESERVE_MAX));
        self.door.intake.guard().load(receiver.arrivals(count).filter_map(|arrival| arrival.payload));
        for arrival in receiver.arrivals(count) {
            self.received += 1;
            match arrival.payload {
                Some([]) => {
                    self.door.intake.reject(Reject::Empty);
                    continue;
                }
                Some(payload) => {
                    self.push(payload, &arrival);
                    if let Some(originals) = &self.door.originals
                        && payload[0] != FIRST_BYTE
                    {
                        originals.answer(payload, &arrival, self.door.intake.guard(), &self.door.outlet);
                    }
                }
                None => self.door.intake.reject(Reject::TooLong),
            }
        }
    }

    /// Takes the reports of one datagram.
    fn push(&mut self, datagram: &[u8], arrival: &Arrival<'_>) {
        match sole_report(datagram) {
            Some(mark) if self.takes_all => self.push_report(datagram, mark, arrival),
            _ if datagram[0] == FIRST_BYTE => self.push_sealed(datagram, arrival),
            _ => self.push_each(datagram, arrival),
        }
    }

    // Apart, so that it costs nothing in the way of most datagrams.
    #[inline(never)]
    fn push_each(&mut self, datagram: &[u8], arrival: &Arrival<'_>) {
        let guard = self.door.intake.guard();
        for (mark, report) in reports(datagram) {
            if self.takes_all || guard.check(report, Proof::None, || arrival.source()).is_ok() {
                self.push_report(report, mark, arrival);
            }
        }
    }

    /// Takes the reports in an envelope. They stay together, since they share one look at the sequence.
    #[inline(never)]
    fn push_sealed(&mut self, envelope: &[u8], arrival: &Arrival<'_>) {
        let guard = self.door.intake.guard();
        if guard.open(envelope, || arrival.source(), self.content).is_err() {
            return;
        }
        if self.batch.lacks_room_for(self.content.len()) {
            self.hand_over();
        }
        let peer = self.content.has_call().then(|| arrival.peer()).flatten();
        let reply =
            peer.and_then(|peer| guard.reply(self.content, ReplyTo::new(self.door.outlet.clone(), peer)));
        for Entry { bytes, mark, seal, .. } in self.content.entries().filter(|entry| entry.refused.is_none())
        {
            self.batch.push_marked(bytes, mark);
            self.batch.seal_last(seal);
            if let (true, Some(peer)) = (mark.is_alarm, peer) {
                self.batch.last_by(peer.address.ip().into());
                reply.iter().for_each(|reply| self.batch.reply_last_to(reply.clone()));
            }
        }
    }

    #[inline]
    fn push_report(&mut self, report: &[u8], mark: Mark, arrival: &Arrival<'_>) {
        if self.batch.is_full() {
            self.hand_over();
        }
        self.batch.push_marked(report, mark);
        if mark.is_alarm {
            self.note_sender(report, arrival);
        }
    }

    // Apart, so that it costs nothing in the way of most reports.
    #[inline(never)]
    fn note_sender(&mut self, alarm: &[u8], arrival: &Arrival<'_>) {
        let Some(peer) = arrival.peer() else { return };
        self.batch.last_by(peer.address.ip().into());
        if asks(alarm) {
            self.batch.reply_last_to(ReplyTo::new(self.door.outlet.clone(), peer));
        }
    }

    fn hand_over(&mut self) {
        let batch = std::mem::replace(&mut self.batch, BatchBuilder::new(ORIGIN));
        let count = batch.len();
        if self.door.intake.publish(batch) {
            self.crowded = true;
        } else {
            self.fitted += count;
        }
    }

    fn publish(mut self, more: bool) -> Round {
        self.hand_over();
        Round { received: self.received, more, fitted: self.fitted, crowded: self.crowded }
    }
}

/// True if the sender of an alarm asks to hear when it is on disk.
fn asks(alarm: &[u8]) -> bool {
    open(alarm).is_ok_and(|report| StoredAck::asked_by(&report).is_some())
}

/// Decides when to nap, and when to look for drops.
struct Pace<'a> {
    door: &'a UdpDoor,
    name: &'a str,
    gather: Option<Gather>,
    backoff: Backoff,
    last: Duration,
    looked: Duration,
    warned: Option<Duration>,
    /// Something older had to be shed since the last look.
    crowded: bool,
    /// Time that the threads had waited for a processor at the last look, if it was crowded then.
    waited: Option<Duration>,
    /// The stages that store have to share processors, with this door first of all.
    shares: bool,
}

impl<'a> Pace<'a> {
    fn new(door: &'a UdpDoor, name: &'a str) -> Self {
        let now = door.clock.monotonic();
        let gather = (door.class != Class::Alarms).then(|| Gather::new(door.socket.buffer.booked));
        Self {
            door,
            name,
            gather,
            backoff: Backoff::new(),
            last: now,
            looked: now,
            warned: None,
            crowded: false,
            waited: None,
            shares: false,
        }
    }

    fn after(&mut self, round: &Round) {
        let now = self.door.clock.monotonic();
        let since = now.saturating_sub(self.last);
        self.last = now;
        self.crowded |= round.crowded && self.door.class == Class::Positions;
        let looked = now.saturating_sub(self.looked);
        if looked >= LOOK_EVERY {
            self.looked = now;
            self.look_for_drops(now);
            self.look_for_contention(looked);
        }
        let nap = self.gather.as_mut().and_then(|gather| gather.nap(round.received, since, round.more));
        let backoff = self.backoff.nap(round.fitted, round.crowded && self.shares);
        if let Some(nap) = backoff.or(nap) {
            std::thread::sleep(nap);
        }
    }

    /// Only while it is crowded, since it costs something.
    fn look_for_contention(&mut self, since: Duration) {
        let waited = std::mem::take(&mut self.crowded).then(waited_by_all);
        self.shares = waited.zip(self.waited).is_some_and(|(now, before)| {
            now.saturating_sub(before).as_secs_f64() >= WAITING_SHARE * since.as_secs_f64()
        });
        self.waited = waited;
    }

    fn look_for_drops(&mut self, now: Duration) {
        let drops = self.door.count_drops(self.name);
        let quiet = self.warned.is_some_and(|warned| now.saturating_sub(warned) < WARN_EVERY);
        if drops > 0 && !quiet {
            self.warned = Some(now);
            tracing::warn!(
                door = self.name,
                drops,
                "overload: the kernel drops datagrams before they are read"
            );
        }
    }
}
