//! The promises of the wire format, one file per promise.

#[path = "../../fuzz/bodies.rs"]
mod bodies;
mod msgpack;

mod acks;
mod agreement;
mod datagrams;
mod dialects;
mod documented;
mod emergencies;
mod encoding;
mod fuzz;
mod inputs;
mod leniency;
mod model;
mod refusals;
mod sealed;
mod stored;
mod streams;
