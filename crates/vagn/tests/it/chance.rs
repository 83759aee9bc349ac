//! Chance, printed so that a failed run can be run again, and how much of it is tried.

/// Random moments tried; `make chaos` tries more.
pub(crate) fn moments() -> u32 {
    if std::env::var_os("VAGN_LONG").is_some() { 300 } else { 20 }
}

/// Set `VAGN_SEED` to run a failed run again.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("VAGN_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().unwrap());
    eprintln!("VAGN_SEED={seed}");
    seed
}
