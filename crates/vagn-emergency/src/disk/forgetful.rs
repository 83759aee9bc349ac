//! The store on a disk that loses its power: cut at every write and every sync, everything that was said to be on disk
//! must be there again, whichever of the unsynced sectors made it.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use crate::id::IncidentId;
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::record::store::Store;

/// What a disk writes whole.
const SECTOR: usize = 512;

/// A disk in memory that fails for good after `left` writes, syncs and changes of length.
#[derive(Debug, Clone, Default)]
struct Forgetful(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    now: Vec<u8>,
    synced: Vec<u8>,
    since: Vec<Change>,
    left: usize,
    done: usize,
    sync_fails: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Length(usize),
    Sector(usize, Vec<u8>),
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Length(len) => image.resize(*len, 0),
            Self::Sector(at, data) => {
                let end = at + data.len();
                image.resize(image.len().max(end), 0);
                image[*at..end].copy_from_slice(data);
            }
        }
    }
}

impl Forgetful {
    fn with_power_for(left: usize, image: Vec<u8>) -> Self {
        let (now, synced) = (image.clone(), image);
        Self(Arc::new(Mutex::new(Disk { now, synced, left, ..Disk::default() })))
    }

    fn change(&self, changes: impl IntoIterator<Item = Change>) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.spend()?;
        for change in changes {
            change.apply(&mut disk.now);
            disk.since.push(change);
        }
        Ok(())
    }

    /// What is found when the power is back: all that was synced, and of the rest what chance has let through.
    fn found_later(&self, rng: &mut fastrand::Rng) -> Vec<u8> {
        let disk = self.0.lock();
        let mut image = disk.synced.clone();
        disk.since.iter().filter(|_| rng.bool()).for_each(|change| change.apply(&mut image));
        image
    }

    fn done(&self) -> usize {
        self.0.lock().done
    }
}

impl Disk {
    fn spend(&mut self) -> io::Result<()> {
        self.left = self.left.checked_sub(1).ok_or_else(|| io::Error::other("no power"))?;
        self.done += 1;
        Ok(())
    }
}

impl StorageBackend for Forgetful {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock();
        let at = offset as usize;
        let from = disk.now.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change([Change::Length(len as usize)])
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.spend()?;
        if disk.sync_fails {
            return Err(io::Error::other("sync failed"));
        }
        disk.synced = disk.now.clone();
        disk.since.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let sectors = data.chunks(SECTOR).enumerate();
        self.change(sectors.map(|(at, data)| Change::Sector(offset as usize + at * SECTOR, data.to_vec())))
    }
}

/// Saves incidents in groups until the power goes. Returns those that were said to be on disk.
fn work(disk: &Forgetful) -> Vec<Incident> {
    let mut safe = Vec::new();
    let Ok(store) = Store::on(disk.clone(), 8) else { return safe };
    for group in 0..10_u128 {
        let open = |number: u128| {
            let id = IncidentId::from_u128(1 + group * 4 + number);
            Incident::example(id, &format!("vehicle {group}/{number}"))
        };
        let mut saved: Vec<Incident> = (0..4).map(open).collect();
        // Every group also brings news of an earlier incident.
        saved.extend(safe.last().cloned().map(with_an_attempt));
        let drafts: Vec<_> = saved.iter().cloned().map(Draft::from).collect();
        if store.save(&drafts).is_err() {
            break;
        }
        safe.retain(|old: &Incident| saved.iter().all(|new| new.id != old.id));
        safe.extend(saved);
    }
    safe
}

fn with_an_attempt(mut incident: Incident) -> Incident {
    incident.notices.attempts = 1;
    incident
}

/// A disk with an empty store on it, with power for `left` more steps.
fn made(left: usize) -> Forgetful {
    let disk = Forgetful::with_power_for(usize::MAX, Vec::new());
    drop(Store::on(disk.clone(), 8).unwrap());
    let image = disk.0.lock().now.clone();
    Forgetful::with_power_for(left, image)
}

#[test]
fn whatever_was_said_to_be_on_disk_survives_a_cut_anywhere() {
    let untouched = made(usize::MAX);
    assert_eq!(work(&untouched).len(), 40);
    let steps = untouched.done();
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    for cut in 0..steps {
        let disk = made(cut);
        let safe = work(&disk);
        let found = Forgetful::with_power_for(usize::MAX, disk.found_later(&mut rng));
        let store = Store::on(found, 8).unwrap_or_else(|err| panic!("cut at {cut}, seed {seed}: {err}"));
        for incident in safe {
            let again = store.get(incident.id).unwrap();
            let again =
                again.unwrap_or_else(|| panic!("{} is gone; cut at {cut}, seed {seed}", incident.vehicle_id));
            assert_eq!(again.vehicle_id, incident.vehicle_id, "cut at {cut}, seed {seed}");
            assert!(again.notices.attempts >= incident.notices.attempts, "cut at {cut}, seed {seed}");
        }
    }
}

#[test]
fn a_failed_sync_is_not_forgotten() {
    let disk = made(usize::MAX);
    let store = Store::on(disk.clone(), 8).unwrap();
    assert!(!store.sync_failed());
    disk.0.lock().sync_fails = true;
    let incident = Incident::example(IncidentId::from_u128(1), "bus 7");
    assert!(store.save(&[incident.into()]).is_err());
    disk.0.lock().sync_fails = false;
    assert!(store.sync_failed());
}
