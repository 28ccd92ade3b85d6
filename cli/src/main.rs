//! `vernier`: see `vernier --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    vernier_cli::command::main()
}
