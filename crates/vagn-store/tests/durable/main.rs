//! The durable side of the store: what is written is there again, whatever happened in between.

mod basics;
mod support;
