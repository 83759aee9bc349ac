//! The account of descriptors: a process may have so many open files, and connections get only those that nothing else needs.
//!
//! What the log, the stores and the calls to targets need is set apart first. The rest is divided among the ports, so that no crowd at one
//! of them closes another. At a port, one address gets at most a part, so that a crowd from one address leaves places for all others; and a
//! crowd from many addresses that asks nothing has its places only until others want them.

mod holder;
mod holders;
mod places;

pub use holder::Asked;
pub use places::{Displaced, Place, PlaceMetrics, PlaceParts, Places, Refusal};

/// Descriptors that are kept for all that is neither a connection of a port nor one to a target: log, snapshots, stores, sockets.
pub const KEPT: u64 = 128;

/// Least number of places of a port, however few descriptors there are.
const PLACES_MIN: u64 = 8;

/// Most connections of a port that may be about to leave at a time, beyond its places; a port with few places has fewer.
const LEAVING_MAX: u64 = 64;

/// Part of its places that a port has more for connections that are about to leave: an eighth.
const LEAVING_PART: u64 = 8;

/// Divides what a limit of descriptors leaves beside the `kept` ones into places of ports that want so many: each gets an even part, and
/// what one does not want goes to the others. With next to nothing the ports get a half. A part has room for connections that are about
/// to leave, too.
pub fn divide<const PORTS: usize>(limit: u64, kept: u64, wanted: [u64; PORTS]) -> [u64; PORTS] {
    let mut left = limit.saturating_sub(kept).max(limit / 2);
    let mut ports: Vec<usize> = (0..PORTS).collect();
    ports.sort_by_key(|port| wanted[*port]);
    let mut places = [0; PORTS];
    for (at, port) in ports.iter().enumerate() {
        let even = left / (PORTS - at) as u64;
        places[*port] = wanted[*port].min(within(even)).max(PLACES_MIN);
        left = left.saturating_sub(open_at_most(places[*port]));
    }
    places
}

/// Returns the most descriptors that a port with so many places has open, together with connections that are about to leave.
pub fn open_at_most(places: u64) -> u64 {
    places + leaving(places)
}

/// Returns how many connections may be about to leave beyond so many places.
fn leaving(places: u64) -> u64 {
    (places / LEAVING_PART).clamp(1, LEAVING_MAX)
}

/// Returns the most places that fit into so many descriptors together with connections that are about to leave.
fn within(descriptors: u64) -> u64 {
    let eighths = descriptors / (LEAVING_PART + 1);
    let rest = descriptors % (LEAVING_PART + 1);
    let scaled = LEAVING_PART * eighths + rest.min(LEAVING_PART - 1);
    scaled.max(descriptors.saturating_sub(LEAVING_MAX)).min(descriptors.saturating_sub(1))
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
        assert_eq!(divide(1_024, 256, [64, 10_000, 4_096]), [64, 310, 310]);
        assert_eq!(
            divide(4_096, 256, [64, 10_000, 100]),
            [64, 3_592, 100],
            "what one does not want goes to the others"
        );
        assert_eq!(
            divide(300, 256, [64, 10_000, 4_096]),
            [45, 45, 45],
            "a half when there is next to nothing"
        );
        assert_eq!(divide(0, 256, [64, 10_000, 4_096]), [8; 3]);
    }

    #[test]
    fn all_ports_together_leave_what_is_kept() {
        for limit in 512..100_000 {
            let places = divide(limit, 256, [64, 10_000, 4_096]);
            let open = places.iter().map(|places| open_at_most(*places));
            assert!(open.sum::<u64>() <= limit - 256, "{limit}: {places:?}");
        }
    }

    #[test]
    fn a_port_gets_as_many_places_as_its_part_has_room_for() {
        for part in 10..2_000 {
            let places = within(part);
            assert!(places + leaving(places) <= part, "{part}: {places}");
            assert!(places + 1 + leaving(places + 1) > part, "{part}: {places}");
        }
    }
}
