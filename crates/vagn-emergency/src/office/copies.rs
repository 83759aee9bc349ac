//! Copies of the incident store between nodes, and the rest that a copy leaves: what the driver asks of them, as the actor `incident-files` does it.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use tracing::{error, info};
use vagn_cluster::trail::{CopyOutcome, DeedId, Mark, TrailEvent};
use vagn_cluster::{DiskFault, ReadId};
use vagn_store::private::FILE_MODE;

use crate::office::room::Room;
use crate::record::store::{Picture, Store, StoreError};

/// Pieces of a copy that are put aside until all are there.
const FILE: &str = "incidents.copy";

/// Reads that may wait. The driver has four under way at most.
const READS_MAX: usize = 8;

/// Parts of the rest that the trail has, and that may wait to be removed. Those beyond are read and handed in again.
const DROPPED_MAX: usize = 4_096;

/// Time after its last read for which a picture is held.
const HELD: Duration = Duration::from_secs(60);

/// What the driver asks of copies. It belongs to no life of the actor.
#[derive(Default)]
pub(crate) struct CopyQueue {
    reads: Mutex<VecDeque<CopyRead>>,
    piece: Mutex<Option<TakenPiece>>,
    rest: Mutex<Option<usize>>,
    dropped: Mutex<Vec<u128>>,
    aside: Mutex<Aside>,
}

/// Pieces that are put aside. A life of the actor that ends in the middle of one leaves bytes behind these.
#[derive(Debug, Default, Clone, Copy)]
struct Aside {
    pieces: u32,
    bytes: u64,
}

/// A piece that another node wants.
#[derive(Debug, Clone)]
pub(crate) struct CopyRead {
    pub(crate) read: ReadId,
    pub(crate) of: Option<Mark>,
    pub(crate) least: u64,
    pub(crate) from: Vec<u8>,
    pub(crate) max_bytes: usize,
}

/// A piece that another node has given.
#[derive(Debug, Clone)]
pub(crate) struct TakenPiece {
    pub(crate) piece: u32,
    pub(crate) bytes: Vec<u8>,
    pub(crate) mark: Option<Mark>,
}

impl CopyQueue {
    /// Has a piece read.
    ///
    /// # Errors
    /// It is given back: too many wait.
    pub(crate) fn read(&self, read: CopyRead) -> Result<(), ReadId> {
        let mut reads = self.reads.lock();
        if reads.len() >= READS_MAX {
            return Err(read.read);
        }
        reads.push_back(read);
        Ok(())
    }

    pub(crate) fn take(&self, piece: TakenPiece) {
        *self.piece.lock() = Some(piece);
    }

    pub(crate) fn read_rest(&self, max: usize) {
        *self.rest.lock() = Some(max);
    }

    /// Has a part of the rest removed. Returns false where too many wait.
    pub(crate) fn drop_rest(&self, deed: DeedId) -> bool {
        let mut dropped = self.dropped.lock();
        let has_room = dropped.len() < DROPPED_MAX;
        if has_room {
            dropped.push(deed.0);
        }
        has_room
    }

    /// The piece that waited is done with.
    pub(crate) fn taken(&self) {
        *self.piece.lock() = None;
    }

    /// Forgets what an earlier driver wanted.
    pub(crate) fn forget(&self) {
        self.reads.lock().clear();
        *self.piece.lock() = None;
        *self.rest.lock() = None;
    }

    /// Returns true when a piece waits to be put aside: the last one takes long.
    pub(crate) fn is_taking(&self) -> bool {
        self.piece.lock().is_some()
    }
}

/// Place for pieces that are put aside.
pub(crate) trait AsidePlace: Send {
    /// Throws away all that is there.
    fn clear(&self) -> io::Result<()>;

    /// Puts bytes behind the first `at`, in place of what is there.
    fn put(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads all that is there.
    fn read(&self) -> io::Result<Box<dyn Read>>;
}

/// Returns a file for them in this directory.
pub(crate) fn aside_in(folder: &Path) -> Box<dyn AsidePlace> {
    Box::new(AsideFile(folder.join(FILE)))
}

/// A file for them.
struct AsideFile(PathBuf);

impl AsidePlace for AsideFile {
    fn clear(&self) -> io::Result<()> {
        fs::remove_file(&self.0).or_else(ignore_absence)
    }

    fn put(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(&self.0)?;
        file.set_len(at)?;
        file.write_all(bytes)
    }

    fn read(&self) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(BufReader::new(File::open(&self.0)?)))
    }
}

/// What the actor has of copies.
pub(crate) struct Copies {
    place: Box<dyn AsidePlace>,
    picture: Option<Held>,
}

struct Held {
    mark: Mark,
    picture: Picture,
    read_at: Duration,
}

/// What came of a piece that was taken.
pub(crate) enum CopyTaken {
    /// It is put aside.
    Aside,
    /// It was the last: the store has another content now, with this mark.
    Replaced(Mark),
}

impl Copies {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self::aside(aside_in(&folder))
    }

    /// Puts pieces aside in this place.
    pub(crate) fn aside(place: Box<dyn AsidePlace>) -> Self {
        Self { place, picture: None }
    }

    /// Throws away what was put aside: a driver begins.
    pub(crate) fn begin(&self, room: &Room) {
        *room.files.copies.aside.lock() = Aside::default();
        if let Err(err) = self.place.clear() {
            error!(error = %err, "what is left of a copy cannot be removed");
        }
    }

    /// Reads pieces, and the rest; removes what the trail has of it.
    pub(crate) fn work(&mut self, room: &Room, store: &Store) {
        let now = room.lane.clock.monotonic();
        self.picture.take_if(|held| held.read_at + HELD < now);
        let queue = &room.files.copies;
        while let Some(read) = { queue.reads.lock().pop_front() } {
            let outcome = self.read(&read, store, now).unwrap_or_else(|err| {
                error!(error = %err, "a piece of a copy cannot be read");
                CopyOutcome::Fault
            });
            room.answers.tell(TrailEvent::CopyRead { read: read.read, outcome });
        }
        let dropped = { queue.dropped.lock().clone() };
        if !dropped.is_empty() && store.drop_rest(&dropped).is_ok() {
            queue.dropped.lock().drain(..dropped.len());
        }
        let rest = *queue.rest.lock();
        if let Some(max) = rest
            && let Ok((parts, is_end)) = store.rest(max)
        {
            *queue.rest.lock() = None;
            let rest = parts.into_iter().map(|(name, part)| (DeedId(name), part)).collect();
            room.answers.tell(TrailEvent::RestRead { rest, is_end });
        }
    }

    fn read(&mut self, read: &CopyRead, store: &Store, now: Duration) -> Result<CopyOutcome, StoreError> {
        let CopyRead { of, least, from, max_bytes, .. } = read;
        if of.is_none() {
            let fresh = store.picture()?.and_then(|picture| {
                Mark::read(&picture.mark).ok().map(|mark| Held { mark, picture, read_at: now })
            });
            let trail = fresh.as_ref().map(|fresh| fresh.mark.trail);
            // One of an epoch before is of no use to anybody, and each question would hold it for longer.
            let serves = |held: &Held| held.mark.sequence >= *least && Some(held.mark.trail) == trail;
            if !self.picture.as_ref().is_some_and(serves) {
                self.picture = fresh;
            }
        }
        let held = self.picture.as_mut().filter(|held| of.is_none_or(|of| of == held.mark));
        let Some(held) = held else { return Ok(CopyOutcome::Gone) };
        held.read_at = now;
        let piece = held.picture.piece(from, *max_bytes)?;
        Ok(piece.map_or(CopyOutcome::Gone, |(bytes, next)| CopyOutcome::Piece {
            mark: held.mark,
            bytes,
            next,
        }))
    }

    /// Puts a piece aside, if one waits; the last one makes all of them the content of the store.
    pub(crate) fn take(&mut self, room: &Room, store: &Store) -> Option<Result<CopyTaken, DiskFault>> {
        let TakenPiece { piece, bytes, mark } = room.files.copies.piece.lock().clone()?;
        if let Err(err) = self.put_aside(room, piece, &bytes) {
            error!(error = %err, "a piece of a copy cannot be put aside");
            return Some(Err(DiskFault::Full));
        }
        let Some(mark) = mark else { return Some(Ok(CopyTaken::Aside)) };
        // It may make its reader panic, as a file may that something else has written.
        let taken = catch_unwind(AssertUnwindSafe(|| replace(&*self.place, store, &mark)));
        match taken.unwrap_or(Err(StoreError::Panicked)) {
            Ok(()) => {
                info!(
                    sequence = mark.sequence,
                    "a copy of another node has taken the place of the incident store's content"
                );
                self.picture = None;
                self.begin(room);
                Some(Ok(CopyTaken::Replaced(mark)))
            }
            Err(err) => {
                error!(error = %err, "a copy cannot be taken");
                let is_broken = store.sync_failed();
                room.lane.shelf.failed(&err, room.lane.clock.monotonic());
                Some(Err(if is_broken { DiskFault::Broken } else { DiskFault::Full }))
            }
        }
    }

    fn put_aside(&self, room: &Room, piece: u32, bytes: &[u8]) -> io::Result<()> {
        if piece == 0 {
            self.begin(room);
        }
        let mut aside = room.files.copies.aside.lock();
        if piece + 1 == aside.pieces {
            // It came again: the last piece could not be taken, or a life of this actor ended before it said so.
            return Ok(());
        }
        if piece != aside.pieces {
            return Err(io::Error::other(format!("piece {piece} came behind {} others", aside.pieces)));
        }
        self.place.put(aside.bytes, bytes)?;
        *aside = Aside { pieces: piece + 1, bytes: aside.bytes + bytes.len() as u64 };
        Ok(())
    }
}

fn replace(place: &dyn AsidePlace, store: &Store, mark: &Mark) -> Result<(), StoreError> {
    let mut pieces = place.read().map_err(|err| StoreError::Failed(err.into()))?;
    store.take_copy(&mut pieces, &mark.write())
}

fn ignore_absence(err: io::Error) -> io::Result<()> {
    if err.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(err) }
}
