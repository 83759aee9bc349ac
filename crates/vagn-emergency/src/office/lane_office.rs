//! The office of a node: carries out what the driver of the trail asks for, and makes the calls that its desk decides. It waits for nothing: disks
//! have actors of their own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tracing::error;
use vagn_cluster::Moment;
use vagn_cluster::trail::{AlarmId, CopyOutcome, Duty, Refusal, TrailEvent, Why};
use vagn_nats::{Office, OfficeCommand};

use crate::id::IncidentId;
use crate::intake::no_room::NoRoom;
use crate::notifier::{NoticeSender, TargetMood};
use crate::notify::notice::EndedNotice;
use crate::office::alarm_form::AlarmForm;
use crate::office::answers::Heard;
use crate::office::calls::observe_first;
use crate::office::copies::{CopyRead, TakenPiece};
use crate::office::door::call_about;
use crate::office::kept::Change;
use crate::office::look::Look;
use crate::office::losses::Loss;
use crate::office::room::Room;
use crate::office::trail_desk::TrailDesk;
use crate::office::under_way::UnderWay;

/// Longest time between two looks at what is due, which are signs of life as well.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Shortest time between two looks: what is due now and waits for a slot rings when that is free.
const LOOK_MIN: Duration = Duration::from_millis(5);

/// The office of a node.
pub struct LaneOffice {
    room: Arc<Room>,
    sender: Arc<NoticeSender>,
    moods: Vec<TargetMood>,
    answers: Heard,
    events: VecDeque<TrailEvent>,
    under_way: UnderWay,
    ended: Vec<(u64, EndedNotice)>,
    look: Look,
}

impl LaneOffice {
    pub(crate) fn new(room: Arc<Room>, sender: Arc<NoticeSender>) -> Self {
        Self::looking(room, sender, Look::waking(LOOK_EVERY))
    }

    /// Does the same, with another way to be told when it is time to look.
    pub(crate) fn looking(room: Arc<Room>, sender: Arc<NoticeSender>, look: Look) -> Self {
        room.kept.forget_read();
        let answers = room.answers.open();
        room.files.ask();
        Self {
            moods: sender.targets().map(|_| TargetMood::default()).collect(),
            room,
            sender,
            answers,
            events: VecDeque::new(),
            under_way: UnderWay::default(),
            ended: Vec::new(),
            look,
        }
    }

    /// Returns the time of its next look, if nothing wakes it then.
    pub(crate) fn look_at(&self) -> Option<Duration> {
        self.look.at()
    }

    fn call_alone(&self, alarm: AlarmId, bytes: &[u8], why: Why) {
        match AlarmForm::from_bytes(bytes) {
            Ok(form) => {
                if why == Why::Kept {
                    self.room.door.remember(incident(alarm), (bytes, &form), &[], &self.room);
                }
                if !call_about(&self.room, &form, incident(alarm)) {
                    self.room.door.lacks_call(incident(alarm));
                }
            }
            Err(err) => error!(error = %err, "an alarm that was kept cannot be called about"),
        }
    }

    fn keep(&mut self, alarm: AlarmId, bytes: Vec<u8>) {
        if let Err(Change::Keep { alarm, bytes }) = self.room.kept.push(Change::Keep { alarm, bytes }) {
            self.room.door.not_kept(incident(alarm), &self.room);
            self.events.push_back(TrailEvent::NotKept { alarm, bytes });
        }
    }

    fn let_go(&self, alarm: AlarmId, bytes: Vec<u8>) {
        let id = incident(alarm);
        match AlarmForm::from_bytes(&bytes) {
            Ok(form) => self.room.door.let_go(id, &form, &self.room),
            Err(_) => self.room.calls.let_go(id),
        }
        self.room.change_kept(Change::LetGo { alarm, bytes });
    }

    fn refuse(&mut self, alarm: AlarmId, bytes: Vec<u8>, unrecorded: bool, refusal: Refusal) {
        let (id, limit) = (incident(alarm), NoRoom::of_number(refusal.limit));
        // The door of the driver forgets an alarm that gave its place to another, and hears of no call that was made without it.
        let ends = refusal.ends && (unrecorded || !self.room.calls.has(id));
        if let Ok(form) = AlarmForm::from_bytes(&bytes) {
            self.room.door.refuse(id, &form, (limit, ends), &self.room);
        }
        match (refusal.ends, ends) {
            (true, true) => self.room.change_kept(Change::LetGo { alarm, bytes }),
            (true, false) => {
                let note = self.room.calls.note(id);
                self.events.push_back(TrailEvent::NotEnded { alarm, bytes, note });
            }
            (false, _) => {}
        }
    }

    fn reopen(&mut self, alarm: AlarmId, bytes: Vec<u8>) {
        let now_ms = self.room.lane.clock.now_ms();
        let new = self.room.lane.inbox.next_id(now_ms);
        let into = AlarmId(new.as_u128());
        self.room.change_kept(Change::Rename { alarm, into });
        // Of one that an earlier run kept the door has nothing.
        let bytes = self.room.door.reopen(incident(alarm), new, &self.room).unwrap_or(bytes);
        self.events.push_back(TrailEvent::Alarm { alarm: into, bytes });
    }

    fn end(&mut self, reign: u64, ended: EndedNotice) {
        self.room.count_attempt(&ended);
        let target = self.sender.target(ended.target_index);
        let now = self.room.lane.clock.monotonic();
        self.moods[ended.target_index.0].hear(target, &ended.attempt.outcome, now);
        self.ended.push((reign, ended));
    }
}

fn incident(alarm: AlarmId) -> IncidentId {
    IncidentId::from_u128(alarm.0)
}

impl Office for LaneOffice {
    type Desk = TrailDesk;

    fn carry_out(&mut self, command: OfficeCommand) {
        match command {
            OfficeCommand::Save { mark, groups } => self.room.files.save(mark.write(), groups),
            OfficeCommand::Keep { alarm, bytes } => self.keep(alarm, bytes),
            OfficeCommand::CallAlone { alarm, bytes, why } => self.call_alone(alarm, &bytes, why),
            OfficeCommand::LetGo { alarm, bytes } => self.let_go(alarm, bytes),
            OfficeCommand::Refuse { alarm, bytes, unrecorded, refusal } => {
                self.refuse(alarm, bytes, unrecorded, refusal);
            }
            OfficeCommand::Reopen { alarm, bytes } => self.reopen(alarm, bytes),
            OfficeCommand::ReadKept { after, max } => self.room.kept.read(after, max),
            OfficeCommand::ReadCopy { read, of, least, from, max_bytes } => {
                let copy = CopyRead { read, of, least, from, max_bytes };
                if let Err(read) = self.room.files.copies.read(copy) {
                    self.events.push_back(TrailEvent::CopyRead { read, outcome: CopyOutcome::Fault });
                }
                self.room.files.ring();
            }
            OfficeCommand::TakeCopy { piece, bytes, mark } => {
                self.room.files.copies.take(TakenPiece { piece, bytes, mark });
                self.room.files.ring();
            }
            OfficeCommand::ReadRest { max } => {
                self.room.files.copies.read_rest(max);
                self.room.files.ring();
            }
            OfficeCommand::DropRest { deed } => {
                if !self.room.files.copies.drop_rest(deed) {
                    self.room.metrics.lose(Loss::Rest);
                }
                self.room.files.ring();
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<TrailEvent> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        if let Poll::Ready(Some(mut event)) = self.answers.poll_recv(cx) {
            if let TrailEvent::Kept { alarms, .. } = &mut event {
                // Before the driver takes them: it looks at no alarm that it has already.
                alarms.iter_mut().for_each(|kept| self.room.door.find_kept(kept, &self.room));
            }
            return Poll::Ready(event);
        }
        if let Poll::Ready((reign, ended)) = self.under_way.poll_ended(cx) {
            self.end(reign, ended);
            return Poll::Ready(TrailEvent::DeskChanged);
        }
        if self.look.poll_due(cx).is_ready() {
            self.look.set(LOOK_EVERY);
            return Poll::Ready(TrailEvent::DeskChanged);
        }
        Poll::Pending
    }

    fn act(&mut self, desk: &mut TrailDesk, duty: Duty, _: Moment) -> bool {
        self.room.beat();
        let (reign, notices) = desk.work(std::mem::take(&mut self.ended), duty);
        for notice in notices {
            observe_first(&self.room.metrics, &notice, desk.now());
            let (sender, head) = (self.sender.clone(), self.room.lane.head());
            let counted = (notice.target.to_string(), self.room.metrics.clone());
            self.under_way.begin(reign, counted, async move { sender.send(notice, head).await });
        }
        let now = self.room.lane.clock.monotonic();
        let wait = desk.wake_at().map_or(LOOK_EVERY, |at| at.saturating_sub(now).min(LOOK_EVERY));
        self.look.set(wait.max(LOOK_MIN));
        desk.take_news()
    }
}
