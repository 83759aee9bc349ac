//! The rule of judging once more, written for reading and not for speed; `judge` is held against it by its cases.
//!
//! Times are in ms. `a` is the arrival, `t` the vehicle's own time, `n` its number, `p` its place.

use std::collections::{HashMap, HashSet};

use super::*;

pub(super) const MIN: i64 = 60_000;
pub(super) const DAY: i64 = 86_400_000;
pub(super) const YEAR: i64 = 365 * DAY;
pub(super) const WEEKS_1024: i64 = 1_024 * 7 * DAY;
pub(super) const YEAR_1900: i64 = -2_208_988_800_000;

/// A report as the model takes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) a: i64,
    pub(super) p: i64,
    pub(super) t: Option<i64>,
    pub(super) n: Option<u64>,
    pub(super) readable: bool,
    pub(super) key: Option<KeyTag>,
    /// Not the first of its envelope for this vehicle.
    pub(super) more: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Kept {
    pub(super) e: i64,
    pub(super) own: bool,
    pub(super) unsure: bool,
    pub(super) a: i64,
    pub(super) p: i64,
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) kept: Option<Kept>,
    pub(super) key: Option<KeyTag>,
    pub(super) highest: Option<u64>,
    pub(super) seen: HashSet<u64>,
    pub(super) repeat: bool,
    /// What was seen of the vehicle under each key, up to when it left.
    pub(super) left: HashMap<KeyTag, HashSet<u64>>,
}

pub(super) fn model_time(sent: &Sent, kept: Option<Kept>) -> (i64, bool, bool) {
    let a = sent.a;
    if !sent.readable {
        return (a, false, true);
    }
    let Some(t) = sent.t else { return (a, false, false) };
    let (low, high) = (i128::from(t), i128::from(t));
    let mut t = match (low, high) {
        (1_000_000_000.., ..10_000_000_000) => t * 1_000,
        (1_000_000_000_000_000.., ..10_000_000_000_000_000) => t / 1_000,
        (1_000_000_000_000_000_000.., ..10_000_000_000_000_000_000) => t / 1_000_000,
        _ => t,
    };
    for k in [1, 2] {
        let later = t.saturating_add(k * WEEKS_1024);
        if (a - DAY..=a + 5_000).contains(&later) {
            t = later;
            break;
        }
    }
    let year_behind = t < a - YEAR && kept.is_some_and(|kept| kept.e >= a - YEAR);
    let impossible = t > a + 5_000 || t.unsigned_abs() < 1_000_000_000 || t < YEAR_1900 || year_behind;
    if impossible { (a, false, true) } else { (t, true, false) }
}

impl Model {
    pub(super) fn note(&mut self, n: Option<u64>, anew: bool) {
        let Some(n) = n else { return };
        let highest = if anew { n } else { self.highest.map_or(n, |highest| highest.max(n)) };
        self.highest = Some(highest);
        if anew {
            self.seen.clear();
        }
        self.seen.insert(n);
        self.seen.retain(|seen| i128::from(*seen) > i128::from(highest) - 64);
    }

    /// The vehicle is deleted or forgotten.
    pub(super) fn leave(&mut self) {
        if let (Some(_), Some(key)) = (self.kept.take(), self.key) {
            let left = self.left.entry(key).or_default();
            left.extend(self.seen.drain());
            let highest = left.iter().copied().max().unwrap_or_default();
            left.retain(|seen| i128::from(*seen) > i128::from(highest) - 64);
        }
        (self.key, self.highest, self.repeat) = (None, None, false);
        self.seen.clear();
    }

    /// Judges the first report of a vehicle by what was seen under its key before it left.
    pub(super) fn judge_again(&mut self, sent: Sent) -> Option<Fate> {
        let (key, n) = (sent.key?, sent.n?);
        let left = self.left.get(&key)?;
        let highest = *left.iter().max()?;
        if i128::from(n) <= i128::from(highest) - 64 {
            return Some(Fate::Stale);
        }
        if left.contains(&n) {
            return Some(Fate::Duplicate);
        }
        (self.seen, self.highest) = (self.left.remove(&key)?, Some(highest));
        None
    }

    pub(super) fn judge(&mut self, sent: Sent) -> Fate {
        let Sent { a, p, n, readable, key, more, .. } = sent;
        let (e, own, unsure) = model_time(&sent, self.kept);
        let changed = self.kept.is_some() && key != self.key;
        if changed {
            self.highest = None;
            self.seen.clear();
            self.key = key;
        }
        if self.kept.is_none() {
            if let Some(refused) = self.judge_again(sent) {
                return refused;
            }
            self.key = key;
        }
        let mut known = n.is_some_and(|n| self.seen.contains(&n));
        let mut below = n.zip(self.highest).is_some_and(|(n, highest)| n <= highest);
        if key.is_some() && self.kept.is_some() {
            if more {
                (known, below) = (self.repeat, false);
            } else if below && i128::from(n.unwrap()) <= i128::from(self.highest.unwrap()) - 64 {
                self.repeat = true;
                return Fate::Stale;
            }
            self.repeat = known;
            if known {
                return Fate::Duplicate;
            }
            if changed && own && self.kept.is_some_and(|k| k.own && e <= k.e) {
                return Fate::Stale;
            }
        }
        let mut anew = false;
        let fate = match self.kept {
            None => Fate::Stored,
            Some(k) if k.a > a + 5_000 => {
                anew = known;
                Fate::Stored
            }
            Some(k) if own => {
                if k.own && e == k.e && p == k.p {
                    Fate::Duplicate
                } else if e > k.e || (k.unsure && e >= k.e - 5 * MIN) {
                    anew = below;
                    Fate::Stored
                } else if known {
                    Fate::Duplicate
                } else if e == k.e {
                    Fate::Stored
                } else {
                    Fate::Stale
                }
            }
            Some(k) if unsure && !readable && k.own && a - k.e <= 5 * MIN => Fate::Stale,
            Some(k) if !below => {
                if e >= k.e {
                    Fate::Stored
                } else {
                    Fate::Stale
                }
            }
            Some(k) if key.is_some() || a - k.a <= 10_000 => {
                if known {
                    Fate::Duplicate
                } else {
                    Fate::Stale
                }
            }
            Some(_) => {
                anew = true;
                Fate::Stored
            }
        };
        if fate == Fate::Stored {
            self.kept = Some(Kept { e, own, unsure, a, p });
        }
        if fate != Fate::Duplicate || key.is_some() {
            self.note(n, anew && key.is_none());
        }
        fate
    }
}
