//! Pairs of sessions wired back to back under a virtual clock; a file per story.

mod chaos;
mod expiry;
mod extension;
mod fetch;
mod goaway;
mod harness;
mod namespace;
mod request;
mod setup;
mod subscription;
mod update;
