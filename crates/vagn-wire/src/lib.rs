//! vagn-wire
