//! The `moq` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    headwater_cli::main()
}
