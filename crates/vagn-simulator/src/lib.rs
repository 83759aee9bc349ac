//! A whole cluster in one process, on virtual time: machines with the core of a node, brokers that have bad days, a network, and
//! senders that keep a ledger. Each run is the function of one number.

mod agenda;
mod brokers;
mod bytes;
mod chance;
mod disk;
mod fleet;
mod stream;
