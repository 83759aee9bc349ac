//! vagn-load
