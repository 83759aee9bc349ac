//! The driver: one future that owns the trail's part of a node, tells it what happened and has done what it asks for.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use tokio::sync::{Notify, mpsc, oneshot};
use vagn_cluster::trail::{
    DeedId, DeedOutcome, TrailCommand, TrailEvent, TrailHappened, TrailNode, TrailSettings,
};
use vagn_cluster::{Command, Event, Moment};

use crate::brokers::Brokers;
use crate::driver::Clock;
use crate::errands::Errands;
use crate::inbox::Inbox;
use crate::peers::{Part, Peers};
use crate::trail::handle::{ALARMS_MAX, NewAlarm, REQUESTS_MAX, RepairResult, TrailHandle, TrailRequest};
use crate::trail::office::{Office, OfficeCommand};

/// Listener for events of the trail, for the log and metrics. It must not wait.
pub type TrailTold = Box<dyn FnMut(TrailHappened) + Send>;

/// Drives the trail's part of a node. A supervisor polls [`run`](Self::run).
pub struct TrailDriver<O: Office> {
    node: TrailNode<O::Desk>,
    office: O,
    errands: Errands,
    inbox: Inbox,
    peers: Peers,
    clock: Clock,
    told: TrailTold,
    alarms: mpsc::Receiver<NewAlarm>,
    requests: mpsc::Receiver<TrailRequest<O::Desk>>,
    changed: Arc<Notify>,
    /// Persons that wait: as many as the node lets, and some whose answer is under way.
    deeds: HashMap<DeedId, oneshot::Sender<DeedOutcome>>,
    /// Persons that wait for a repair, at most [`REQUESTS_MAX`].
    repairs: Vec<oneshot::Sender<RepairResult>>,
    run: u64,
    last_deed: u64,
    /// The office has told what its store has: before that the node hears of alarms and of nothing else.
    is_restored: bool,
}

/// Next thing for the driver.
enum TrailNext<D> {
    Event(TrailEvent),
    Request(TrailRequest<D>),
    /// All handles are gone.
    Over,
}

impl<O: Office> TrailDriver<O> {
    /// Makes the trail's part of a node and its driver, over connections that another driver keeps, or
    /// [`serve`](crate::Incoming::serve). The settings' node is that of the connections, and their room that of the stream. It is made with
    /// [`trail_bytes`](crate::trail_bytes), if there is none.
    pub fn new(
        settings: TrailSettings,
        (desk, office): (O::Desk, O),
        (brokers, stream_bytes): (Brokers, u64),
        clock: Clock,
        told: TrailTold,
    ) -> (TrailHandle<O::Desk>, Self) {
        let (to_alarms, alarms) = mpsc::channel(ALARMS_MAX);
        let (to_requests, requests) = mpsc::channel(REQUESTS_MAX);
        let changed = Arc::new(Notify::new());
        let settings = TrailSettings { node: brokers.node(), room_bytes: stream_bytes, ..settings };
        let handle = TrailHandle {
            alarms: to_alarms,
            requests: to_requests,
            changed: changed.clone(),
            brokers: brokers.clone(),
        };
        let driver = Self {
            run: settings.random,
            node: TrailNode::new(settings, desk),
            office,
            inbox: brokers.inbox(),
            errands: Errands::new(brokers, stream_bytes),
            peers: Peers::of(Part::Desk),
            clock,
            told,
            alarms,
            requests,
            changed,
            deeds: HashMap::new(),
            repairs: Vec::new(),
            last_deed: 0,
            is_restored: false,
        };
        (handle, driver)
    }

    /// Drives the node until all handles are gone, or the future is dropped. Neither loses more than a crash.
    pub async fn run(mut self) {
        let mut out = Vec::new();
        loop {
            let event = match self.next().await {
                TrailNext::Event(event) => event,
                TrailNext::Request(request) => match self.event(request) {
                    Some(event) => event,
                    None => continue,
                },
                TrailNext::Over => return,
            };
            self.handle(event, &mut out);
        }
    }

    /// Waits for the next thing. Nothing waits between what is chosen from here and the node.
    async fn next(&mut self) -> TrailNext<O::Desk> {
        let Self { office, errands, inbox, peers, alarms, requests, changed, .. } = self;
        let brokers = errands.brokers().clone();
        loop {
            tokio::select! {
                Some((alarm, bytes)) = alarms.recv() => return TrailNext::Event(TrailEvent::Alarm { alarm, bytes }),
                event = std::future::poll_fn(|cx| office.poll_event(cx)) => return TrailNext::Event(event),
                event = errands.next() => return TrailNext::Event(TrailEvent::Common(event)),
                Some(part) = inbox.next() => {
                    let taken = peers.take((brokers.node(), brokers.run()), part, |loss| brokers.lose(loss));
                    if let Some((from, bytes)) = taken {
                        return TrailNext::Event(TrailEvent::Common(Event::Received { from, bytes }));
                    }
                }
                () = changed.notified() => return TrailNext::Event(TrailEvent::DeskChanged),
                request = requests.recv() => return request.map_or(TrailNext::Over, TrailNext::Request),
            }
        }
    }

    /// Makes an event of a request, or does what it asks.
    fn event(&mut self, request: TrailRequest<O::Desk>) -> Option<TrailEvent> {
        match request {
            TrailRequest::Deed { bytes, outcome } if self.is_restored => {
                self.last_deed += 1;
                let deed = DeedId(u128::from(self.run) << 64 | u128::from(self.last_deed));
                self.deeds.insert(deed, outcome);
                Some(TrailEvent::Deed { deed, bytes })
            }
            TrailRequest::Deed { outcome, .. } => {
                // The node would not hear it.
                outcome.send(DeedOutcome::Unavailable).ok();
                None
            }
            TrailRequest::Lead => Some(TrailEvent::LeadAsked),
            TrailRequest::Known(owners) => Some(TrailEvent::Known(owners)),
            TrailRequest::Stop => Some(TrailEvent::StopAsked),
            TrailRequest::Repair { ended } if self.is_restored && self.repairs.len() < REQUESTS_MAX => {
                self.repairs.push(ended);
                Some(TrailEvent::RepairAsked)
            }
            // The node would not hear it, or many wait already. The caller hears that the node is unavailable.
            TrailRequest::Repair { .. } => None,
            TrailRequest::Look(deed) => {
                deed(&self.node, self.now());
                None
            }
        }
    }

    fn handle(&mut self, event: TrailEvent, out: &mut Vec<TrailCommand>) {
        self.is_restored |= matches!(event, TrailEvent::Restored(_));
        self.node.handle(self.now(), event, out);
        for command in out.drain(..) {
            match command {
                TrailCommand::Common(Command::Send { to, bytes }) => {
                    self.peers.send(self.errands.brokers(), to, bytes);
                }
                TrailCommand::Common(Command::SendAll { bytes }) => {
                    self.peers.send_all(self.errands.brokers(), bytes);
                }
                // The trail asks for nothing of it that is not for brokers.
                TrailCommand::Common(command) => {
                    self.errands.begin(command);
                }
                TrailCommand::AnswerDeed { deed, outcome } => {
                    if let Some(waits) = self.deeds.remove(&deed) {
                        // Gone if the person is.
                        waits.send(outcome).ok();
                    }
                }
                TrailCommand::Tell(happened) => (self.told)(happened),
                TrailCommand::RepairEnded(result) => {
                    for waits in self.repairs.drain(..) {
                        // Gone if the person is.
                        waits.send(result).ok();
                    }
                }
                other => {
                    if let Some(command) = OfficeCommand::of(other) {
                        self.office.carry_out(command);
                    }
                }
            }
        }
        // A moment of its own: what was carried out took time.
        let now = self.now();
        let duty = self.node.duty(now);
        if self.office.act(self.node.desk_mut(), duty, now) {
            self.changed.notify_one();
        }
    }

    fn now(&self) -> Moment {
        Moment { elapsed_ms: self.errands.elapsed_ms(), wall_ms: (self.clock)() }
    }
}
