//! vagn-store
