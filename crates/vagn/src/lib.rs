//! vagn
