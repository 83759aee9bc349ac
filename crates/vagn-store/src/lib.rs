//! The live fleet: an index of the whole globe over a durable log.
//!
//! A fleet is split into partitions by the hash of the vehicle id. Each partition has one writer, one live
//! index in memory and one log on disk; readers of all partitions together answer for the fleet. Everything
//! here is synchronous and takes time, seeds and disk from its caller, so that a test can run any failure again.

mod adopt;
mod backup;
mod changes;
mod chunked;
mod coarse;
mod data_dir;
pub mod disk;
mod error;
mod fleet;
mod geo;
mod history;
mod ids;
mod index;
mod judge;
mod key;
mod log;
mod manifest;
mod order;
mod partition;
mod prefetch;
pub mod private;
mod question;
mod reader;
mod repair;
mod repartition;
mod roster;
mod sight;
mod sighting;
mod snapshot;
mod syncer;
mod updates;
mod uuid_text;
mod vehicle;

pub use backup::{
    Backup, BackupError, BackupProgress, BackupStep, BackupWriter, CopiedShard, FleetSource, Interrupt,
    RestoreReport, UncheckedBackup,
};
pub use changes::{Changes, FixBefore, Gone, Move, Moved};
pub use data_dir::{DataDir, PartList};
pub use error::StoreError;
pub use fleet::{Fleet, NotReady};
pub use geo::{BBox, BBoxError, EARTH_RADIUS_M, distance_m};
pub use index::{DepartedAt, Index, Nearby, Plan};
pub use judge::{
    EventTime, Evidence, KeyTag, NumberWindow, SKEW_MAX_MS, Seal, event_time, has_no_fix, is_a_year_back,
};
pub use key::{Key, partition};
pub use log::reader::Cut;
pub use order::OrderNumber;
pub use partition::{
    AfterFailedWrite, Forget, Forgotten, Housekept, Partition, Phase, Progress, Recovery, Settings, Written,
};
pub use question::{Age, Answer, Question, Whole};
pub use reader::{DepartedCounts, IndexMark, Reader, Writer};
pub use repair::{RepairReport, RepairedFile, plan_repair, plan_repair_on, repair, repair_on};
pub use roster::Roster;
pub use sight::Sight;
pub use sighting::Sighting;
pub use syncer::{Health, Syncer};
pub use updates::{Update, Updates};
pub use vagn_wire::Fate;
pub use vehicle::{Found, Hit, Vehicle, VehicleIdBuf};
