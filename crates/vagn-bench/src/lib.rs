//! Measures a running service end to end, and writes `docs/BENCHMARKS.md`; the program is `vagn-bench`, run by `make bench`.
//!
//! It is a program in the workspace and not a script: it sends with the senders of `vagn-load`, a million reports a second
//! from one core, and reads counters and answers with the same code as the service's own tests.

pub mod ask;
pub mod bare;
pub mod bare_sender;
pub mod bare_stream;
pub mod bench;
pub mod brokers;
pub mod https;
pub mod load;
pub mod machine;
pub mod notes;
pub mod perf;
pub mod plot;
pub mod postgis;
pub mod process;
pub mod quota;
pub mod redis;
pub mod render;
pub mod section;
pub mod sections;
pub mod service;
pub mod stats;
