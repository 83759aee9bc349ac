//! The driver: one future that owns a node, tells it what happened and carries out what it asks for.

use std::collections::HashMap;

use tokio::sync::{mpsc, oneshot};
use vagn_cluster::{
    Command, Disk, DiskCommand, DiskPart, Event, Happened, Moment, Node, QueryId, Refusal, Settings, ShardId,
    ShardState, Ticket,
};
use vagn_wire::Fate;

use crate::brokers::{Brokers, Incoming};
use crate::errands::Errands;
use crate::handle::{Answered, Handle, REQUESTS_MAX, Request, Waiting, WallClock};
use crate::peers::Peers;

/// Wall clock of the node, handed in: ms since 1970.
pub type Clock = WallClock;

/// Listener for events of the node, for the log and metrics. It must not wait.
pub type Told = Box<dyn FnMut(Happened) + Send>;

/// Drives a node. A supervisor polls [`run`](Self::run).
pub struct Driver<S, D> {
    node: Node<S>,
    disk: D,
    world: World,
    requests: mpsc::Receiver<Request<S>>,
    incoming: Incoming,
    peers: Peers,
}

/// Requests and questions that a node has under way.
struct World {
    errands: Errands,
    clock: Clock,
    told: Told,
    fates: HashMap<Ticket, oneshot::Sender<Vec<Fate>>>,
    questions: HashMap<QueryId, Waiting>,
    /// Operators that wait for repairs: as many as the service lets ask.
    repairs: HashMap<ShardId, Vec<oneshot::Sender<Result<(), Refusal>>>>,
    next: u64,
}

/// Next thing for the driver.
enum Next<S> {
    Event(Event),
    Request(Request<S>),
    /// All handles are gone.
    Over,
}

impl<S: ShardState + Send + 'static, D: Disk> Driver<S, D> {
    /// Makes a node and its driver.
    pub fn new(
        settings: Settings,
        disk: D,
        (brokers, incoming): (Brokers, Incoming),
        clock: Clock,
        told: Told,
    ) -> (Handle<S>, Self) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let stream_bytes = settings.stream_bytes;
        let handle = Handle { requests: sender, brokers: brokers.clone(), stream_bytes };
        let world = World {
            errands: Errands::new(brokers, stream_bytes),
            clock,
            told,
            fates: HashMap::new(),
            questions: HashMap::new(),
            repairs: HashMap::new(),
            next: 0,
        };
        let node = Node::new(settings);
        (handle, Self { node, disk, world, requests, incoming, peers: Peers::default() })
    }

    /// Drives the node until all handles are gone, or the future is dropped. Neither loses more than a crash.
    pub async fn run(mut self) {
        let mut out = Vec::new();
        self.restore(&mut out).await;
        loop {
            let event = match self.next().await {
                Next::Event(event) => event,
                Next::Request(request) => match self.world.event(request, &self.node) {
                    Some(event) => event,
                    None => continue,
                },
                Next::Over => return,
            };
            self.handle(event, &mut out);
        }
    }

    /// Tells all that is on disk, before anything else.
    async fn restore(&mut self, out: &mut Vec<Command>) {
        loop {
            let event = std::future::poll_fn(|cx| self.disk.poll_event(cx)).await;
            let is_last = matches!(event, Event::Disk(DiskPart::End));
            self.handle(event, out);
            if is_last {
                return;
            }
        }
    }

    fn handle(&mut self, event: Event, out: &mut Vec<Command>) {
        let now = self.world.now();
        self.node.handle(now, event, out);
        for command in out.drain(..) {
            match command {
                Command::Send { to, bytes } => self.peers.send(self.world.errands.brokers(), to, bytes),
                Command::SendAll { bytes } => self.peers.send_all(self.world.errands.brokers(), bytes),
                other => {
                    if let Some(command) = self.world.carry_out(other) {
                        self.disk.carry_out(command);
                    }
                }
            }
        }
    }

    /// Waits for the next thing. Nothing waits between what is chosen from here and the node.
    async fn next(&mut self) -> Next<S> {
        let Self { disk, world, requests, incoming, peers, .. } = self;
        let brokers = world.errands.brokers().clone();
        let me = (brokers.node(), brokers.run());
        loop {
            tokio::select! {
                event = std::future::poll_fn(|cx| disk.poll_event(cx)) => return Next::Event(event),
                event = world.errands.next() => return Next::Event(event),
                part = incoming.next() => {
                    let taken = peers.take(me, part, |loss| brokers.lose(loss));
                    if let Some((from, bytes)) = taken {
                        return Next::Event(Event::Received { from, bytes });
                    }
                }
                request = requests.recv() => return request.map_or(Next::Over, Next::Request),
            }
        }
    }
}

impl World {
    fn now(&self) -> Moment {
        Moment { elapsed_ms: self.errands.elapsed_ms(), wall_ms: (self.clock)() }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Makes an event of a request, or does what it asks.
    fn event<S>(&mut self, request: Request<S>, node: &Node<S>) -> Option<Event> {
        Some(match request {
            Request::Submit { changes, fates } => {
                let ticket = Ticket(self.number());
                self.fates.insert(ticket, fates);
                Event::Submitted { ticket, changes }
            }
            Request::Ask { shards, question, within, answer } => {
                let query = QueryId(self.number());
                self.questions.insert(query, answer);
                Event::Asked { query, shards, question, within_ms: within.as_millis() as u64 }
            }
            Request::Repair(shard, result) => {
                self.repairs.entry(shard).or_default().push(result);
                Event::RepairAsked(shard)
            }
            Request::Leave => Event::LeaveAsked,
            Request::Stop => Event::StopAsked,
            Request::Mirror(span) => Event::MirrorAsked { for_ms: span.as_millis() as u64 },
            Request::Look(deed) => {
                deed(node);
                return None;
            }
        })
    }

    /// Begins to carry a command out. Returns what is for the disk.
    fn carry_out(&mut self, command: Command) -> Option<DiskCommand> {
        match self.errands.begin(command)? {
            Command::Settle { ticket, fates } => {
                if let Some(waits) = self.fates.remove(&ticket) {
                    // Gone if the reporter is.
                    waits.send(fates).ok();
                }
            }
            Command::Answer { query, answers, missing } => {
                if let Some(waits) = self.questions.remove(&query) {
                    waits.answer.send(Answered { shards: answers, missing }).ok();
                }
            }
            Command::RepairEnded { shard, result } => {
                for waits in self.repairs.remove(&shard).unwrap_or_default() {
                    // It may have left.
                    waits.send(result).ok();
                }
            }
            Command::Tell(happened) => (self.told)(happened),
            other => return disk_command(other),
        }
        None
    }
}

fn disk_command(command: Command) -> Option<DiskCommand> {
    Some(match command {
        Command::WriteLog { shard, records } => DiskCommand::WriteLog { shard, records },
        Command::SyncLog(shard) => DiskCommand::SyncLog(shard),
        Command::TrimLog { shard, through } => DiskCommand::TrimLog { shard, through },
        Command::ReadLog { read, shard, from, max_bytes } => {
            DiskCommand::ReadLog { read, shard, from, max_bytes }
        }
        Command::SaveSnapshot { shard, sequence, bytes } => {
            DiskCommand::SaveSnapshot { shard, sequence, bytes }
        }
        Command::InstallSnapshot { shard, sequence, bytes } => {
            DiskCommand::InstallSnapshot { shard, sequence, bytes }
        }
        Command::DropShard(shard) => DiskCommand::DropShard(shard),
        Command::ReadRest { read, shard, from, max_bytes } => {
            DiskCommand::ReadRest { read, shard, from, max_bytes }
        }
        Command::DropRest(shard) => DiskCommand::DropRest(shard),
        Command::WriteNote(bytes) => DiskCommand::WriteNote(bytes),
        // Carried out elsewhere.
        _ => return None,
    })
}
