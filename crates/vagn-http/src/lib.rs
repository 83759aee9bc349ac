//! HTTP as every page of Vagn speaks it: the server with its limits, TLS, request bodies and parameters, problems, and
//! the table of routes with the role that each one needs. It knows no route itself.

pub mod account;
mod admission;
pub mod answer;
pub mod body;
pub mod caller;
pub mod cors;
pub mod elsewhere;
pub mod etag;
mod flight;
mod hint;
pub mod memory;
pub mod own_certificate;
pub mod params;
pub mod peer;
pub mod pieces;
pub mod principal;
pub mod problem;
mod rest;
pub mod route;
pub mod server;
mod socket;
mod taken;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tls;
pub mod token_guard;
mod watch;
