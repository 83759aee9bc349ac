//! The `vagn` command. All its code is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    vagn::commands::main()
}
