//! HTTP as every page of Vagn speaks it: the server with its limits, TLS, request bodies and parameters, problems, and
//! the table of routes with the role that each one needs. It knows no route itself.
//!
//! A request passes three judges, in this order: `server.rs` and `talk.rs` judge its connection, `admission.rs` the request, from any
//! principal, and `gate.rs`, in front of each handler, the principal.
//!
//! | its connection | |
//! |---|---|
//! | `listener.rs` | the socket that it comes to: bound over restarts, refused while nothing accepts |
//! | `server.rs` | accepts it, with its limits; the children of the supervisor |
//! | `talk.rs`, `socket.rs`, `gathering.rs` | requests and answers on it until it ends; what is read and written |
//! | `station.rs` | whether it is served before others or behind them |
//! | `elsewhere.rs`, `hint.rs` | handshakes on another runtime; plain HTTP on the port of HTTPS |
//! | `tls.rs`, `own_certificate.rs`, `validity.rs` | the certificate: read, made, and for how long |
//!
//! | any request | |
//! |---|---|
//! | `admission.rs` | judges it: it names one host, and there is memory for its answer |
//! | `forwarded.rs`, `reached.rs` | what a proxy says of it, and which proxies are believed; scheme and host that its client used |
//! | `host.rs`, `cors.rs` | names of this machine, against pages of other sites; origins whose pages may ask |
//! | `caller.rs` | its connection, as limits see it: address, and what is scarce |
//!
//! | its principal | |
//! |---|---|
//! | `route.rs`, `access.rs` | the table of routes; the role that each asks for, and the ladder of roles |
//! | `gate.rs` | judges by all of these: rate, credentials, role, person; then notes it |
//! | `credentials/` | tokens, sessions and shares in memory: finds the principal |
//! | `principal.rs` | the person or program that was let in, and the name under which its deeds are recorded |
//! | `token_guard.rs`, `rates.rs` | slows down addresses that try tokens; limits how often a principal or address may ask |
//! | `refusal.rs`, `access_log.rs` | the reasons of a no; the file of reads and changes |
//!
//! | what a handler takes and gives | |
//! |---|---|
//! | `params.rs`, `body.rs`, `rest.rs` | its query; its body, and what was left unread of it |
//! | `answer.rs`, `etag.rs`, `problem.rs`, `strict.rs`, `bare.rs` | answers and errors, with the headers that every one has, those of the library too |
//! | `pieces.rs`, `taken.rs`, `flight.rs`, `watch.rs` | large answers, made and sent as they are taken; the end of those that are not |
//! | `account.rs`, `memory.rs`, `streams.rs` | what is scarce, and the part that each holder has; bytes of answers; places for event streams |

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
pub mod listener;
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
