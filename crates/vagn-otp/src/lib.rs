//! Supervisors, addresses, worker pools and topics in the Erlang/OTP tradition, on tokio.
//!
//! A tree of [`Supervisor`]s starts its children in order, restarts those that fail, and gives up rather than loop for ever.
//! Children are [`Actor`]s, async tasks, threads, [`Pool`]s of workers, or supervisors again. An actor is reached by its [`Addr`],
//! which stays valid across restarts, as does the mailbox: a crash loses the message in hand and no other.

/// The example of the README is a test; not of the stand-ins, under whose name it does not go.
#[cfg(all(doctest, not(feature = "shuttle")))]
#[doc = include_str!("../README.md")]
struct Readme;

mod actor;
mod addr;
mod child;
pub mod contention;
mod context;
mod exit;
mod fault;
mod incarnation;
mod life;
mod mailbox;
mod nice;
mod park;
mod plant;
mod pool;
mod process;
mod queue;
mod recipient;
mod reply;
mod spawn;
mod stats;
mod supervisor;
#[cfg(not(feature = "shuttle"))]
mod sync;
#[cfg(feature = "shuttle")]
#[path = "../../vagn-schedules/src/sync/mod.rs"]
pub mod sync;
mod task;
#[cfg(not(feature = "shuttle"))]
pub mod testkit;
mod thread;
mod topic;
mod wait;

pub use actor::{Actor, Handle};
pub use addr::{Addr, TellError};
pub use child::{ChildSpec, DEFAULT_SHUTDOWN, DEFAULT_START, Restart};
pub use context::{Context, Pulse};
pub use exit::{Exit, ExitReason, Failure};
pub use fault::{Fault, quiet_panics};
pub use nice::set_nice;
pub use pool::{Ask, Pool, PoolBuilder, Worker};
pub use process::{Kind, ProcessInfo, ProcessState, Processes};
pub use queue::{Backlog, Pop, PopError, Push, PushError, Queue, QueueCounts};
pub use recipient::Recipient;
pub use reply::{CallError, Reply};
pub use stats::Stats;
pub use supervisor::{AutoShutdown, Root, StartError, Strategy, Supervisor, SupervisorHandle};
pub use task::{BusyGuard, IdleGuard, PatientGuard, TaskContext};
pub use thread::ThreadContext;
pub use topic::{
    Offer, Owner, OwnerChange, Policy, Published, QueueSubscriber, RecipientSubscriber, Subscriber,
    Subscription, SubscriptionInfo, Topic,
};
