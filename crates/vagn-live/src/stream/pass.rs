//! A pass: reads the marked vehicles of a channel from the fleet, writes their events once, and hands them to all its clients.
//! Clients that came back are told apart, in the same pass, of what they missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use vagn_store::{OrderNumber, Reader, Vehicle};

use super::channel::{Channel, Member};
use super::event::{EventId, GapReason, StreamEvent};
use super::hub::Moment;
use super::limits::StreamLimits;
use super::marks::{Departed, Departure, RoundPart};
use super::metrics::{EventCounts, StreamMetrics};
use super::outlet::Piece;
use super::pieces::Pieces;
use super::ring::{Missed, Ring};
use super::row::{FleetRow, see};

/// Changes of the ring that may be looked through in the time that one vehicle takes.
const SEARCHED_PER_VEHICLE: usize = 256;

/// Parts that the passes of a tick share.
pub(super) struct Pass<'a> {
    pub(super) limits: &'a StreamLimits,
    pub(super) metrics: &'a StreamMetrics,
    pub(super) readers: &'a [Reader],
    pub(super) ring: &'a Ring,
    pub(super) run: u64,
    pub(super) ends: &'a [OrderNumber],
    /// Bytes of events that wait for clients.
    pub(super) waiting: &'a Arc<AtomicUsize>,
    pub(super) now: Moment,
    /// Vehicles that may still be looked at in this tick.
    pub(super) left: usize,
}

/// News of a box: what is in it and changed, and what is not in it any more.
struct News {
    vehicles: Vec<Vehicle>,
    departed: Departed,
}

impl Pass<'_> {
    /// Returns true when too many bytes are kept for clients to write more.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > self.limits.bytes
    }

    /// Tells the clients of a channel, and sets the time of its next pass.
    pub(super) fn run(&mut self, channel: &mut Channel) {
        // Not by a fixed place in the second: with a pass that is late, the next one would come too early or a second late.
        channel.due = self.now.steady + self.limits.pass_every;
        if let Some(reason) = channel.gap.take() {
            self.tell_gap(channel, reason);
            return;
        }
        let most = self.limits.pass_vehicles.min(self.left);
        let RoundPart { rows, departed, ends } = channel.marks.take(most, self.ends);
        self.left -= rows.len();
        let news = self.news(channel, &rows, departed);
        let id = ends.map(|ends| EventId { run: self.run, channel: channel.number, ends });
        self.tell(channel, &news, id);
        self.tell_returned(channel);
    }

    /// Reads how things stand with these rows.
    fn news(&self, channel: &Channel, rows: &[FleetRow], departed: Departed) -> News {
        let mut vehicles = see(self.readers, rows, channel.view.sight);
        vehicles.retain(|vehicle| channel.has(vehicle.sighting.position));
        News::new(vehicles, departed)
    }

    fn tell(&self, channel: &mut Channel, news: &News, id: Option<EventId>) {
        let Self { limits, metrics, now, .. } = self;
        let mut pieces = self.write(channel, news, id.as_ref());
        let is_quiet = now.steady.saturating_sub(channel.told) >= limits.quiet;
        match id {
            Some(id) if pieces.is_empty() && is_quiet => {
                pieces = self.single(channel, &StreamEvent::Quiet, &id)
            }
            _ if pieces.is_empty() => return,
            _ => {}
        }
        channel.told = now.steady;
        let told = channel.members.iter().filter(|member| member.since.is_none());
        metrics.told(news.counts(), told.clone().count());
        for member in told {
            if !member.outlet.push(&pieces, limits.backlog) {
                self.gap(channel, member, GapReason::SlowClient);
            }
        }
    }

    /// Writes events; the last one has the id.
    fn write(&self, channel: &Channel, news: &News, id: Option<&EventId>) -> Vec<Piece> {
        let mut pieces = Pieces::new(&*channel.view.writer, self.waiting);
        let now_ms = self.now.wall_ms;
        let departed = news.departed.iter().map(|(id, departure)| match departure {
            Departure::Left => StreamEvent::Left(id),
            Departure::Gone => StreamEvent::Gone(id),
        });
        let positions = news.vehicles.iter().map(|vehicle| StreamEvent::Position { vehicle, now_ms });
        let mut events = departed.chain(positions).peekable();
        while let Some(event) = events.next() {
            pieces.write(&event, id.filter(|_| events.peek().is_none()));
        }
        pieces.finish()
    }

    fn single(&self, channel: &Channel, event: &StreamEvent<'_>, id: &EventId) -> Vec<Piece> {
        Pieces::new(&*channel.view.writer, self.waiting).of(event, Some(id))
    }

    /// Tells one client that it has to read the fleet afresh. What it does not have yet is dropped.
    fn gap(&self, channel: &Channel, member: &Member, reason: GapReason) {
        // Its reading shows all that the hub knows of now.
        let id = EventId { run: self.run, channel: channel.number, ends: self.ends.into() };
        member.outlet.replace(&self.single(channel, &StreamEvent::Gap(reason), &id));
        self.metrics.gap(reason).inc();
    }

    /// Tells all clients of a gap, those too that came back and were not told yet.
    fn tell_gap(&self, channel: &mut Channel, reason: GapReason) {
        channel.told = self.now.steady;
        for member in &mut channel.members {
            member.since = None;
        }
        for member in &channel.members {
            self.gap(channel, member, reason);
        }
    }

    /// Tells clients that came back what they missed.
    fn tell_returned(&mut self, channel: &mut Channel) {
        for at in 0..channel.members.len() {
            // The others come in the next pass; until then changes go on to be kept.
            if self.left == 0 {
                return;
            }
            let Some(since) = channel.members[at].since.take() else { continue };
            let told = self
                .missed(channel, &since)
                .and_then(|news| self.catch_up(channel, &channel.members[at], &news));
            if let Err(reason) = told {
                self.gap(channel, &channel.members[at], reason);
            }
        }
    }

    /// Reads how things stand with what changed in the box since then.
    fn missed(&mut self, channel: &Channel, since: &[OrderNumber]) -> Result<News, GapReason> {
        let Missed { rows, gone, searched } =
            self.ring.after(since, &channel.area, channel.view.sight).ok_or(GapReason::MissedEvents)?;
        self.left = self.left.saturating_sub(1 + searched / SEARCHED_PER_VEHICLE);
        if rows.len() > self.limits.pass_vehicles {
            return Err(GapReason::TooManyChanges);
        }
        self.left = self.left.saturating_sub(rows.len());
        let mut departed = Departed::default();
        let mut vehicles = see(self.readers, &rows, channel.view.sight);
        vehicles.retain(|vehicle| {
            let is_inside = channel.has(vehicle.sighting.position);
            if !is_inside {
                departed.insert(vehicle.id, Departure::Left);
            }
            is_inside
        });
        departed.extend(gone.into_iter().map(|gone| (gone.id, Departure::Gone)));
        Ok(News::new(vehicles, departed))
    }

    fn catch_up(&self, channel: &Channel, member: &Member, news: &News) -> Result<(), GapReason> {
        let id = EventId { run: self.run, channel: channel.number, ends: self.ends.into() };
        let pieces = self.write(channel, news, Some(&id));
        self.metrics.told(news.counts(), 1);
        let pieces = if pieces.is_empty() { self.single(channel, &StreamEvent::Quiet, &id) } else { pieces };
        let is_taken = member.outlet.push(&pieces, self.limits.backlog);
        if is_taken { Ok(()) } else { Err(GapReason::SlowClient) }
    }
}

impl News {
    fn new(vehicles: Vec<Vehicle>, mut departed: Departed) -> Self {
        // A vehicle that left and is back is told of once.
        for vehicle in &vehicles {
            departed.remove(&vehicle.id);
        }
        Self { vehicles, departed }
    }

    fn counts(&self) -> EventCounts {
        let left = self.departed.values().filter(|departure| **departure == Departure::Left).count() as u64;
        EventCounts { positions: self.vehicles.len() as u64, left, gone: self.departed.len() as u64 - left }
    }
}
