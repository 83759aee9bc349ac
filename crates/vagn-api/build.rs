//! Has the crate built anew when the pages have changed. It never builds them: `make web` does, and their files are committed.

fn main() {
    println!("cargo::rerun-if-changed=../../web/dist");
}
