//! Pairs of sessions wired back to back under a virtual clock; a file per story.

mod harness;
mod setup;
mod subscription;
