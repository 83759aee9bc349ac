//! The measurements, one file per section of the document.

mod ack;
mod cluster;
mod compare;
mod map;
mod memory;
mod nearby;
mod overload;
mod profile;
mod restart;
mod scaling;
mod sealed;
mod udp;
mod visible;

use crate::bench::Bench;
use crate::section::Section;

/// Measurement that fills a section. The part that it has when it fails is kept.
pub type Run = fn(&Bench, &mut Section) -> anyhow::Result<()>;

/// Id, heading and measurement of each.
pub const ALL: [(&str, &str, Run); 13] = [
    ("udp", "Positions in over UDP", udp::run),
    ("sealed", "Sealed reports", sealed::run),
    ("ack", "Acknowledged writes over TCP and HTTP", ack::run),
    ("visible", "From send to visible", visible::run),
    ("nearby", "Nearest vehicles over HTTPS", nearby::run),
    ("map", "The live map", map::run),
    ("memory", "Memory per vehicle", memory::run),
    ("restart", "Restart", restart::run),
    ("cluster", "Three brokers and three nodes", cluster::run),
    ("overload", "Overload", overload::run),
    ("compare", "Beside Redis GEO and PostGIS", compare::run),
    ("scaling", "Partitions and cores", scaling::run),
    ("profile", "Where the time goes", profile::run),
];
