//! HTTP as every page of Vagn speaks it: the server with its limits, TLS, request bodies and parameters, problems, and
//! the table of routes with the role that each one needs. It knows no route itself.

pub mod access;
pub mod access_log;
pub mod account;
mod admission;
pub mod answer;
mod bare;
pub mod body;
pub mod caller;
pub mod cors;
pub mod credentials;
pub mod elsewhere;
pub mod etag;
mod flight;
pub mod forwarded;
mod gate;
mod gathering;
mod hint;
pub mod host;
pub mod memory;
pub mod own_certificate;
pub mod params;
pub mod pieces;
pub mod principal;
pub mod problem;
pub mod rates;
pub mod reached;
mod refusal;
mod rest;
pub mod route;
pub mod server;
pub mod socket;
mod station;
pub mod streams;
mod strict;
mod taken;
mod talk;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tls;
pub mod token_guard;
pub mod validity;
mod watch;
