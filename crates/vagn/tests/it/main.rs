//! Tests of the real binary, started and used as by its users. Read `a_datagram` first: it shows the way of a datagram.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure like any other")]

mod a_datagram;
mod audit;
mod bad_input;
mod bad_targets;
mod call_places;
mod chance;
mod clock_doubts;
mod copies;
mod cors;
mod damage;
mod damage_matrix;
mod data_directory;
mod demo;
mod dependencies;
mod drill;
mod emergencies;
mod emergency_faults;
mod emergency_kills;
mod environment;
mod escalation;
mod faults;
mod forms;
mod fsync;
mod hung_disk;
mod incident_rollbacks;
mod judging;
mod kill;
mod layers;
mod own_certificate;
mod position_stream;
mod private;
mod readme;
mod recorded_traces;
mod refusals;
mod replays;
mod source;
mod stops;
mod stored_acks;
mod strangers;
mod targets;
mod tcp;
mod tiles;
mod tokens;
mod vagn;
