//! HTTP as every page of Vagn speaks it: the server with its limits, TLS, request bodies and parameters, problems, and
//! the tokens of those who ask. It knows no route.

pub mod answer;
pub mod auth;
pub mod body;
mod hint;
pub mod params;
pub mod problem;
pub mod server;
pub mod tls;
