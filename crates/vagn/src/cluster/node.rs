//! The thread that drives the node: from its files, over the brokers, until it is told to stop. What crashes it costs no more than a kill
//! of the process; it begins anew from its files.

use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};
use vagn_cluster::{Disk, DiskCommand, DiskPart, Event, MESSAGES_VERSION, NodeId};
use vagn_flow::clock::Clock;
use vagn_nats::{Brokers, Driver, Incoming, Options};
use vagn_otp::{ChildSpec, Failure, ThreadContext};
use vagn_shard::FleetShard;
use vagn_shard::files::{FileWorker, FileWorkers, FilesError, FilesSettings, ShardFiles};
use vagn_store::disk::RealDisk;

use super::link::NodeLink;
use super::news::News;
use super::tls::tls;
use crate::config::ClusterSettings;

/// Room of a stream that a node counts with when it begins from its files, as no broker could be asked: until its next start it strikes off
/// owners that lag by half of this, and makes the streams of repairs with it. Streams of a new data set have what brokers said, as a node
/// without files waits for them.
const STREAM_BYTES: u64 = 1 << 30;

/// Longest wait for brokers of a node that has something to show from its files.
const BROKERS_WITHIN: Duration = Duration::from_secs(2);

/// Pause between two signs of life.
const BEAT_EVERY: Duration = Duration::from_millis(200);

/// Time for which the node is driven after it was asked to say that it stops: the message leaves, and what it was asked before is answered.
const FAREWELL: Duration = Duration::from_millis(100);

/// Longest that a thread of the files waits for work before it gives a sign of life. A stop waits for each of them in turn.
const WORK_WITHIN: Duration = Duration::from_millis(200);

/// The node's parts.
#[derive(Clone)]
pub struct NodeParts {
    /// Brokers and names.
    pub settings: ClusterSettings,
    /// Name of the node.
    pub name: String,
    /// It may own shards.
    pub stores: bool,
    /// Settings of the shards of a new data set, in their byte form.
    pub begin: Vec<u8>,
    /// Hash of what must be equal on all nodes.
    pub settings_hash: u64,
    /// Its files; a node that is there for a while and stores nothing needs none.
    pub files: Option<NodeFiles>,
    /// Draws a number that no other run has.
    pub draw: fn() -> u64,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Leads to the node while it is driven.
    pub link: NodeLink<FleetShard>,
    /// Takes what the node tells.
    pub news: News,
}

/// The files of a node.
#[derive(Clone)]
pub struct NodeFiles {
    /// Their directory.
    pub dir: PathBuf,
    /// Bytes that must stay free on the disk.
    pub free_floor_bytes: u64,
    /// Their threads.
    pub workers: FileWorkers,
}

/// Returns the children: the threads of the files, and the one that drives the node.
pub fn children(parts: NodeParts) -> impl Iterator<Item = ChildSpec> {
    let workers = parts.files.as_ref().map(|files| files.workers.clone());
    let all =
        workers.into_iter().flat_map(|workers| FileWorker::all().map(move |one| (one, workers.clone())));
    let files = all.map(|(worker, workers)| {
        let child = ChildSpec::thread(&worker.name(), move |ctx| {
            ctx.ready();
            while !ctx.stopping() {
                ctx.beat();
                // The disk takes as long as it likes.
                let _unwatched = ctx.patient();
                workers.run(worker, WORK_WITHIN);
            }
            Ok(())
        });
        // Two who write one log would be worse than none, so one that is stuck is waited for.
        child.never_abandon()
    });
    files.chain([ChildSpec::thread("node", move |ctx| parts.drive(&ctx))])
}

impl NodeParts {
    fn drive(&self, ctx: &ThreadContext) -> Result<(), Failure> {
        drive(ctx, self.run(), self.say_farewell())
    }

    /// Tells the others that the node stops, so that no question waits for it, and lets what is under way come to its end.
    async fn say_farewell(&self) {
        if self.link.handle().is_ok_and(|node| node.say_farewell().is_ok()) {
            sleep(FAREWELL).await;
        }
    }

    /// Drives the node until the future is dropped.
    ///
    /// # Errors
    /// Its files or its certificates cannot be used.
    pub async fn run(&self) -> Result<(), Failure> {
        let stream_bytes = self.stream_bytes().await?;
        match &self.files {
            Some(files) => self.run_on(files.open(&self.settings.set)?, stream_bytes).await,
            None => self.run_on(NoFiles::default(), stream_bytes).await,
        }
    }

    async fn run_on(&self, disk: impl Disk, stream_bytes: u64) -> Result<(), Failure> {
        let (clock, news) = (self.clock.clone(), self.news.clone());
        let (handle, driver) = Driver::new(
            self.node_settings(stream_bytes),
            disk,
            self.connect()?,
            Arc::new(move || clock.now_ms()),
            Box::new(move |happened| news.take(happened)),
        );
        let _leading = self.link.lead(handle);
        info!(node = self.name, set = self.settings.set, "the node begins");
        driver.run().await;
        Ok(())
    }

    fn connect(&self) -> Result<(Brokers, Incoming), Failure> {
        Ok(Brokers::connect(self.options()?))
    }

    fn options(&self) -> Result<Options, Failure> {
        let options = self.settings.options(self.node(), (self.draw)())?;
        Ok(options.tls(tls(&self.settings)?))
    }

    fn node(&self) -> NodeId {
        NodeId::of_name(&self.name)
    }

    /// Asks the brokers for the room of a stream. A node that has nothing to show from its files waits until they answer.
    async fn stream_bytes(&self) -> Result<u64, Failure> {
        let (brokers, incoming) = self.connect()?;
        let has_files = self.files.as_ref().is_some_and(|files| files.dir.join("note").exists());
        let mut has_told = false;
        let asked = async {
            loop {
                let by = Instant::now() + BROKERS_WITHIN;
                if let Some(bytes) = brokers.stream_bytes(self.settings.shards as u16, by).await {
                    return bytes;
                }
                if has_files {
                    warn!("no broker answers; the node begins with what is in its files");
                    return STREAM_BYTES;
                }
                if !std::mem::replace(&mut has_told, true) {
                    warn!("no broker answers; the node waits for one, as it has no files to begin with");
                }
            }
        };
        tokio::select! {
            bytes = asked => Ok(bytes),
            () = incoming.serve() => unreachable!("it goes on for ever"),
        }
    }

    fn node_settings(&self, stream_bytes: u64) -> vagn_cluster::Settings {
        let zone = Some(self.settings.zone.clone()).filter(|zone| !zone.is_empty());
        vagn_cluster::Settings {
            name: self.name.clone(),
            zone,
            version: MESSAGES_VERSION,
            settings_hash: self.settings_hash,
            shards: self.settings.shards as u16,
            stores: self.stores,
            begin: self.begin.clone(),
            stream_bytes,
            // It shows nobody a map: what it mirrors, a command takes away.
            proves_mirrors: self.files.is_none(),
            ..vagn_cluster::Settings::new(self.node(), (self.draw)())
        }
    }
}

impl NodeFiles {
    fn open(&self, set: &str) -> Result<ShardFiles, FilesError> {
        let settings = FilesSettings { free_floor_bytes: self.free_floor_bytes, ..FilesSettings::new(set) };
        ShardFiles::open(Arc::new(RealDisk), &self.dir, settings, &self.workers)
    }
}

/// The disk of a node that stores nothing. All it is asked for is to keep a note for its next run, and there is none.
#[derive(Default)]
struct NoFiles {
    has_begun: bool,
}

impl Disk for NoFiles {
    fn carry_out(&mut self, _: DiskCommand) {}

    fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<Event> {
        // Nothing is left from before, and nothing is ever to be answered.
        match std::mem::replace(&mut self.has_begun, true) {
            false => Poll::Ready(Event::Disk(DiskPart::End)),
            true => Poll::Pending,
        }
    }
}

/// Drives `run` on this thread, and says farewell in its place once the thread is told to stop.
pub(super) fn drive(
    ctx: &ThreadContext,
    run: impl Future<Output = Result<(), Failure>>,
    farewell: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    ctx.ready();
    runtime.block_on(async {
        tokio::select! {
            biased;
            () = async {
                stopped(ctx).await;
                farewell.await;
            } => Ok(()),
            ended = run => ended,
        }
    })
}

/// Gives signs of life until the thread is told to stop.
async fn stopped(ctx: &ThreadContext) {
    while !ctx.stopping() {
        ctx.beat();
        sleep(BEAT_EVERY).await;
    }
}
