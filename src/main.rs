//! The `tagwall` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    tagwall::cli::main()
}
