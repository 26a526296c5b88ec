//! Pairs of sessions wired back to back under a virtual clock; a file per story.

mod fetch;
mod harness;
mod namespace;
mod setup;
mod subscription;
