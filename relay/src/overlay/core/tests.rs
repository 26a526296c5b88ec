//! Whole overlays that talk to each other, without sockets and clocks.

mod asking;
mod clones;
mod hub;
pub(super) mod keys;
mod mesh;
mod net;
