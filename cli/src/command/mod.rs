//! The commands, one module each.

mod cert;
mod completions;
mod demo;
mod list;
mod mesh;
mod names;
mod publish;
mod relay;
mod route;
mod status;
mod subscribe;
mod trace;

use std::sync::Arc;

use crate::args::{Args, Command};
use crate::exit::{Exit, Failure};
use crate::output::Console;

/// Runs the command that was asked for.
///
/// # Errors
/// It failed; the failure tells why and the exit code.
pub async fn run(args: Args) -> Result<Exit, Failure> {
    let console = Arc::new(Console::new(args.logs.quiet));
    match args.command {
        Command::Relay(args) => Box::pin(relay::run(&args, &console)).await,
        Command::Publish(args) => Box::pin(publish::run(&args, &console)).await,
        Command::Subscribe(args) => Box::pin(subscribe::run(&args, console)).await,
        Command::List(args) => Box::pin(list::run(&args, &console)).await,
        Command::Demo(args) => Box::pin(demo::run(&args, console)).await,
        Command::Cert(args) => cert::run(&args),
        Command::Mesh(args) => mesh::run(&args, &console),
        Command::Status(args) => status::run(&args).await,
        Command::Route(args) => route::run(&args).await,
        Command::Trace(args) => trace::run(&args).await,
        Command::Completions { shell } => Ok(completions::run(shell)),
    }
}

/// Milliseconds since 1970 by the wall clock.
#[expect(
    clippy::disallowed_methods,
    reason = "group IDs count wall-clock milliseconds"
)]
fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
