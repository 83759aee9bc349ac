//! HTTP as every page of Vagn speaks it: the server with its limits, TLS, request bodies and parameters, problems, and
//! the table of routes with the role that each one needs. It knows no route itself.

pub mod answer;
pub mod body;
pub mod cors;
pub mod etag;
mod hint;
pub mod own_certificate;
pub mod params;
pub mod principal;
pub mod problem;
mod rest;
pub mod route;
pub mod server;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tls;
