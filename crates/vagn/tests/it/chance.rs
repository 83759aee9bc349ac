//! Random numbers with a printed seed, so that a failed run can be repeated, and the number of random tries.

/// Number of random moments to try; `make chaos` tries more.
pub(crate) fn moments() -> u32 {
    if std::env::var_os("VAGN_LONG").is_some() { 300 } else { 20 }
}

/// Returns the seed. Set `VAGN_SEED` to repeat a failed run.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("VAGN_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().unwrap());
    eprintln!("VAGN_SEED={seed}");
    seed
}
