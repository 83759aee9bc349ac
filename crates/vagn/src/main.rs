//! The `vagn` command.

fn main() {}
