//! Clusters of real nodes over real brokers. Read `rounds` first: three nodes are one fleet, whichever is asked, and whichever is killed.
//!
//! The proofs, by the kind of death, are `kills`, `pauses`, `outages`, `streams`, `disks`, `clocks`, `partitions` and `restarts`. Each goes on
//! under the load of a [`scene`]: senders write down what was answered, readers check each answer against that, and in the end every node
//! must have all. `make test` has the first of them, and `make cluster-test` all.
//!
//! Calls for help have a [scene](call_scene) of their own: `calls`, `leaders` and parts of `outages` and `partitions`. In the end each vehicle has one incident
//! at every node, was called about under one key, and all trails have one head. One sealed datagram at two nodes is in `seals`.
//!
//! What the answers must be is in `answers`, the ways in and out in `import` and `export`, a copy of all in `copy`.

mod answers;
mod call_scene;
mod calls;
mod clocks;
mod copy;
mod disks;
mod doctor;
mod export;
mod import;
mod kills;
mod known;
mod leaders;
mod ledger;
mod nodes;
mod outages;
mod partitions;
mod pauses;
mod readers;
mod registry;
mod restarts;
mod rights;
mod roles;
mod rounds;
mod scene;
mod seals;
mod senders;
mod settings;
mod sites;
mod streams;
mod tls;
