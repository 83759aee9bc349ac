//! Runs of whole clusters: a slice of the seeds of `make simulate`, and faults that must be found.

mod calls;
mod office;
mod planted;
mod slice;
