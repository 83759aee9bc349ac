//! Allowances by address: each source may do so much at once, and then so much a second.
//!
//! The memory is bounded and its places are drawn by a secret seed, so that a sender cannot choose addresses that push out a
//! certain other one. A source that is pushed out begins anew.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Places among which a source's one is looked for.
const WAYS: usize = 8;

/// Rows of places: some 8 000 sources at a time, in 256 KiB.
const ROWS: usize = 1024;

/// The sender of something: an IPv4 address, or the first half of an IPv6 one, since a single machine has all of the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source(Ipv6Addr);

impl Source {
    /// Returns the address, or the network, from which the same source can be made again.
    pub fn network(self) -> Ipv6Addr {
        self.0
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64),
        })
    }
}

/// Shows the address, or the network.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.to_ipv4_mapped() {
            Some(v4) => write!(f, "{v4}"),
            None => write!(f, "{}/64", self.0),
        }
    }
}

/// Amount that one source may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Uses at once, after a rest.
    pub burst: u32,
    /// Time after which one more is allowed.
    pub every: Duration,
}

/// Remaining allowances of the sources that were heard of lately.
#[derive(Debug)]
pub struct Allowances {
    quota: Quota,
    seed: u64,
    places: Box<[Remaining]>,
}

/// Remaining allowance of one source.
#[derive(Debug, Clone, Copy)]
struct Remaining {
    source: Source,
    /// Time at which the whole quota is there again.
    rested: Duration,
}

impl Allowances {
    /// Gives each source this quota. `seed` is any secret number.
    pub fn new(quota: Quota, seed: u64) -> Self {
        let free = Remaining { source: Source(Ipv6Addr::UNSPECIFIED), rested: Duration::ZERO };
        Self { quota, seed, places: vec![free; ROWS * WAYS].into() }
    }

    /// Uses one of what `source` has left at this monotonic time.
    ///
    /// # Errors
    /// Nothing is left; gives the time until something is.
    pub fn take(&mut self, source: Source, now: Duration) -> Result<(), Duration> {
        let Quota { burst, every } = self.quota;
        let place = self.place(source);
        if place.source != source {
            *place = Remaining { source, rested: now };
        }
        let rested = place.rested.max(now) + every;
        let latest = now + every * burst;
        if rested > latest {
            return Err(rested - latest);
        }
        place.rested = rested;
        Ok(())
    }

    /// Returns the time until `source` has something left; `None` when it has.
    pub fn wait(&self, source: Source, now: Duration) -> Option<Duration> {
        let Quota { burst, every } = self.quota;
        let place = self.places[self.row(source)].iter().find(|place| place.source == source)?;
        let wait = (place.rested.max(now) + every).saturating_sub(now + every * burst);
        (wait > Duration::ZERO).then_some(wait)
    }

    /// Returns the place of `source`, or the one in its row that is missed least.
    fn place(&mut self, source: Source) -> &mut Remaining {
        let row = self.row(source);
        let row = &mut self.places[row];
        let own = row.iter().position(|place| place.source == source);
        let least = || row.iter().enumerate().min_by_key(|(_, place)| place.rested).map(|(at, _)| at);
        let at = own.or_else(least).expect("a row has places");
        &mut row[at]
    }

    fn row(&self, source: Source) -> std::ops::Range<usize> {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write(&source.0.octets());
        let row = hasher.finish() as usize % ROWS;
        row * WAYS..(row + 1) * WAYS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { burst: 3, every: Duration::from_secs(10) };

    fn source(text: &str) -> Source {
        text.parse::<IpAddr>().unwrap().into()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_source_may_do_so_much_at_once_and_then_so_much_a_time() {
        let mut allowances = Allowances::new(QUOTA, 7);
        let greedy = source("192.0.2.1");
        for _ in 0..3 {
            assert_eq!(allowances.wait(greedy, at(100)), None);
            assert_eq!(allowances.take(greedy, at(100)), Ok(()));
        }
        assert_eq!(allowances.take(greedy, at(104)), Err(at(6)));
        assert_eq!(allowances.wait(greedy, at(104)), Some(at(6)));
        assert_eq!(allowances.take(source("192.0.2.2"), at(104)), Ok(()), "another one is not held up");
        assert_eq!(allowances.take(greedy, at(110)), Ok(()));
        assert!(allowances.take(greedy, at(110)).is_err());
        assert_eq!(allowances.wait(greedy, at(1_000)), None);
    }

    #[test]
    fn one_machine_is_one_source_however_it_writes_its_address() {
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_eq!(source("2001:db8:1:2::3"), source("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(source("2001:db8:1:2::3"), source("2001:db8:1:3::3"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(source("2001:db8:1:2::3").to_string(), "2001:db8:1:2::/64");
    }

    #[test]
    fn the_memory_is_bounded_and_the_busiest_are_forgotten_last() {
        let mut allowances = Allowances::new(QUOTA, 7);
        let greedy = source("203.0.113.9");
        for _ in 0..3 {
            allowances.take(greedy, at(100)).unwrap();
        }
        for number in 0..200_000_u32 {
            allowances.take(IpAddr::V4(number.into()).into(), at(100)).unwrap();
        }
        assert_eq!(allowances.places.len(), ROWS * WAYS);
        assert!(allowances.take(greedy, at(100)).is_err(), "it is not forgotten");
    }

    #[test]
    fn the_places_are_drawn_by_the_seed() {
        let rows = |seed| {
            let allowances = Allowances::new(QUOTA, seed);
            (0..64_u32).map(|number| allowances.row(IpAddr::V4(number.into()).into())).collect::<Vec<_>>()
        };
        assert_eq!(rows(1), rows(1));
        assert_ne!(rows(1), rows(2));
    }
}
