//! Actor `door`: takes alarms from the inbox, and looks after those that wait for the trail. It has a thread of its own, where it may wait for
//! the fleet.

use std::sync::Arc;
use std::time::Duration;

use vagn_otp::{Actor, Context, Failure, Handle};

use crate::intake::known::KnownVehicle;
use crate::lane::Attend;
use crate::office::room::Room;

/// Time between two looks at what waits.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks between two rounds that follow the vehicles of incidents.
const LOOKS_PER_ROUND: u32 = 10;

/// Actor that works at a door.
pub(crate) struct DoorActor {
    room: Arc<Room>,
    looks: u32,
}

impl DoorActor {
    pub(crate) fn new(room: Arc<Room>) -> Self {
        Self { room, looks: 0 }
    }

    fn attend(&self) {
        // What comes from here on must ring again.
        self.room.lane.signals.begun();
        self.room.door.attend(&self.room);
    }
}

impl Actor for DoorActor {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), Failure> {
        ctx.tell_self_after(Duration::ZERO, Look);
        Ok(())
    }

    async fn stopped(&mut self) {
        self.room.door.attend_now(&self.room);
        // Without targets there is no notifier that does it.
        self.room.door.call_all(&self.room);
        self.room.grants.end(&self.room);
    }
}

impl Handle<Attend> for DoorActor {
    type Reply = ();

    async fn handle(&mut self, _: Attend, _: &mut Context<Self>) {
        self.attend();
    }
}

/// Looks a vehicle up.
pub(crate) struct LookUp(pub(crate) Box<str>);

impl Handle<LookUp> for DoorActor {
    type Reply = KnownVehicle;

    async fn handle(&mut self, LookUp(vehicle_id): LookUp, _: &mut Context<Self>) -> KnownVehicle {
        self.room.lane.lookup.look_up(&vehicle_id)
    }
}

struct Look;

impl Handle<Look> for DoorActor {
    type Reply = ();

    async fn handle(&mut self, _: Look, ctx: &mut Context<Self>) {
        ctx.tell_self_after(LOOK_EVERY, Look);
        self.attend();
        self.room.door.look(&self.room);
        self.room.door.show(&self.room);
        self.room.lane.announce();
        self.room.grants.look(&self.room);
        self.looks += 1;
        if self.looks.is_multiple_of(LOOKS_PER_ROUND) {
            self.room.look_up_vehicles();
        }
    }
}
