//! The test matrix: what a tree of processes must survive. Each test is a sentence about it.

mod addresses;
mod backlogs;
mod chaos;
mod limits;
mod parts;
mod pools;
mod processes;
mod queues;
mod stops;
mod strategies;
mod threads;
mod topics;
mod watchdogs;
