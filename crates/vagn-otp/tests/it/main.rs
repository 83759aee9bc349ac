//! The test matrix of a tree of processes. The name of each test is a sentence about it.

mod addresses;
mod backlogs;
mod chaos;
mod ends;
mod limits;
mod loops;
mod parts;
mod pools;
mod processes;
mod queues;
mod significance;
mod stops;
mod strategies;
mod supervision;
mod threads;
mod topics;
mod watchdogs;
