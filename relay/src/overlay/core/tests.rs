//! Whole overlays that talk to each other, without sockets and clocks.

mod asking;
mod hub;
pub(super) mod keys;
mod mesh;
mod net;
