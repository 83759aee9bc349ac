//! vagn-otp
