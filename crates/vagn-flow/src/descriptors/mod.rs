//! The account of descriptors: a process may have so many open files, and connections get only those that nothing else needs.
//!
//! What the log, the stores and the calls to targets need is set apart first. The rest is divided among the ports, so that no crowd at one
//! of them closes another. At a port, one address gets at most a part, so that a crowd from one address leaves places for all others.

mod places;

pub use places::{Place, PlaceMetrics, Places, Refusal};

/// Descriptors that are kept for all that is neither a connection of a port nor one to a target: log, snapshots, stores, sockets.
pub const KEPT: u64 = 128;

/// Least number of places of a port, however few descriptors there are.
const PLACES_MIN: u64 = 8;

/// Divides what a limit of descriptors leaves beside the `kept` ones among ports that want so many: each gets an even part, and what
/// one does not want goes to the others. With next to nothing the ports get a half.
pub fn divide<const PORTS: usize>(limit: u64, kept: u64, wanted: [u64; PORTS]) -> [u64; PORTS] {
    let mut left = limit.saturating_sub(kept).max(limit / 2);
    let mut ports: Vec<usize> = (0..PORTS).collect();
    ports.sort_by_key(|port| wanted[*port]);
    let mut places = [0; PORTS];
    for (at, port) in ports.iter().enumerate() {
        let even = left / (PORTS - at) as u64;
        places[*port] = wanted[*port].min(even).max(PLACES_MIN);
        left = left.saturating_sub(places[*port]);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_at_one_port_leaves_the_places_of_the_others() {
        assert_eq!(
            divide(1_048_576, 256, [64, 10_000, 4_096]),
            [64, 10_000, 4_096],
            "all get what they want"
        );
        assert_eq!(divide(1_024, 256, [64, 10_000, 4_096]), [64, 352, 352]);
        assert_eq!(
            divide(4_096, 256, [64, 10_000, 100]),
            [64, 3_676, 100],
            "what one does not want goes to the others"
        );
        assert_eq!(
            divide(300, 256, [64, 10_000, 4_096]),
            [50, 50, 50],
            "a half when there is next to nothing"
        );
        assert_eq!(divide(0, 256, [64, 10_000, 4_096]), [8; 3]);
    }

    #[test]
    fn all_ports_together_leave_what_is_kept() {
        for limit in 512..100_000 {
            let places = divide(limit, 256, [64, 10_000, 4_096]);
            assert!(places.iter().sum::<u64>() <= limit - 256, "{limit}: {places:?}");
        }
    }
}
