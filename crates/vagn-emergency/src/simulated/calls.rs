//! Calls of a node in steps: notices on their way to targets, which whoever takes the steps brings there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use vagn_flow::clock::Clock;

use super::facts::words;
use crate::notifier::{Messenger, NoticeSource};
use crate::notify::notice::{EndedNotice, Notice};
use crate::office::door_source::DoorSource;
use crate::record::attempt::{Message, Outcome};

/// A notice on its way to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Number of the call at this node.
    pub number: u64,
    /// The door makes it, and not the desk.
    pub is_of_door: bool,
    /// Name of the target.
    pub target: String,
    /// Incident of its key.
    pub incident: u128,
    /// Number of its key: 0 for an opening.
    pub message: u64,
    /// Id of the vehicle.
    pub vehicle: String,
    /// What it tells, in words.
    pub told: String,
    /// All that must be equal under one key.
    pub meaning: String,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The target has it.
    Accepted,
    /// It would not have it now.
    Refused,
    /// Nothing was heard.
    Silence,
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Accepted => Self::Accepted { status: 200 },
            Answer::Refused => Self::Refused { status: 503, retry_after_s: None },
            Answer::Silence => Self::Failed { reason: "no answer".into() },
        }
    }
}

/// A notice of the desk, and where it is told what came of it.
type Sent = (Notice, oneshot::Sender<EndedNotice>);

/// Who waits for what comes of a notice.
enum Waits {
    Desk(oneshot::Sender<EndedNotice>),
    Door,
}

/// Notices that are under way.
#[derive(Default)]
pub(super) struct Calls {
    /// Notices of the desk that nobody has taken on their way yet.
    sent: Arc<Mutex<Vec<Sent>>>,
    under_way: BTreeMap<u64, (Notice, Waits)>,
    last: u64,
}

impl Calls {
    /// Returns a messenger that leaves the notices of the desk here.
    pub(super) fn messenger(&self, clock: Arc<dyn Clock>) -> Messenger {
        let sent = self.sent.clone();
        Box::new(move |notice| {
            let (clock, cut_off) = (clock.clone(), notice.clone());
            let (ended, comes) = oneshot::channel();
            sent.lock().push((notice, ended));
            let end = move |ended: Result<EndedNotice, _>| {
                let gone = |_| cut_off.end(clock.now_ms(), Duration::ZERO, Answer::Silence.into());
                ended.unwrap_or_else(gone)
            };
            comes.map(end).boxed()
        })
    }

    /// Takes the notices that are to go out now, of the desk and of the door.
    pub(super) fn take(&mut self, door: &DoorSource) -> Vec<Call> {
        let sent = std::mem::take(&mut *self.sent.lock());
        let of_desk = sent.into_iter().map(|(notice, ended)| (notice, Waits::Desk(ended)));
        let of_door = std::iter::from_fn(|| door.next_notice()).map(|notice| (notice, Waits::Door));
        let all: Vec<_> = of_desk.chain(of_door).collect();
        all.into_iter().map(|(notice, waits)| self.begin(notice, waits)).collect()
    }

    fn begin(&mut self, notice: Notice, waits: Waits) -> Call {
        self.last += 1;
        let told = words(notice.told);
        let call = Call {
            number: self.last,
            is_of_door: matches!(waits, Waits::Door),
            target: notice.target.as_ref().into(),
            incident: notice.key.incident.as_u128(),
            message: notice.key.number,
            vehicle: notice.incident.vehicle_id.as_ref().into(),
            meaning: match notice.message {
                // An opening says where the vehicle is by now, under one key.
                Message::Opened => format!("opened {}", notice.incident.vehicle_id),
                message => format!("{message:?} {} {told}", notice.incident.vehicle_id),
            },
            told,
        };
        self.under_way.insert(self.last, (notice, waits));
        call
    }

    /// Ends a call, and tells whoever made it.
    pub(super) fn end(
        &mut self,
        number: u64,
        answer: Answer,
        took: Duration,
        now_ms: i64,
        door: &DoorSource,
    ) {
        let Some((notice, waits)) = self.under_way.remove(&number) else { return };
        let began_ms = now_ms.saturating_sub_unsigned(took.as_millis() as u64);
        let ended = notice.end(began_ms, took, answer.into());
        match waits {
            // Gone if its reign is over.
            Waits::Desk(waits) => drop(waits.send(ended)),
            Waits::Door => door.attempted(ended),
        }
    }
}
