//! The harness of the end to end tests: real processes, real media, ports by the kernel.
//!
//! A test makes a [`Home`], the temporary directory that stands for a machine: state directory, files, environment.
//! From it come a [`Relay`] and any `moq` command as a [`Process`], whose lines and end are awaited:
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use headwater_tests::{Home, media};
//!
//! let home = Home::new()?;
//! let relay = home.relay().start()?;
//! let clip = home.file("clip.mp4");
//! media::encode(&media::H264_AAC, 4, &clip)?;
//! let subscriber = home.moq(["subscribe", &relay.url("live/cam"), "-o", "out.mp4"]).start()?;
//! subscriber.line("waiting")?;
//! # Ok(()) }
//! ```
//!
//! Every wait ends with an event or, after a minute, with an error that holds all that the process printed; nothing
//! sleeps. Processes end with the value that started them. The `moq` binary is the one named by `HARNESS_MOQ`, else
//! it is built; the independent test client is the one named by `HARNESS_TEST_CLIENT`.

pub mod grid;
mod home;
pub mod http;
mod lines;
pub mod media;
pub mod mesh;
mod process;
mod relay;
pub mod split;
pub mod stream;
mod tools;

pub use home::Home;
pub use lines::LinePublisher;
pub use process::{Process, Spawn, Stdout};
pub use relay::{Relay, RelayBuilder};
pub use tools::{moq, test_client};
