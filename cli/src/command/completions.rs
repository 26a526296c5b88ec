//! `moq completions`: a shell's completions on stdout.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Args;
use crate::exit::Exit;

pub(super) fn run(shell: Shell) -> Exit {
    clap_complete::generate(shell, &mut Args::command(), "moq", &mut std::io::stdout());
    Exit::Ok
}
