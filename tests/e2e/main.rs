//! The `moq` command as people run it: real processes, real QUIC on loopback, media made by ffmpeg. A module per story.

mod bad_input;
mod conformance;
mod demo;
mod failover;
mod fan;
mod faults;
mod full_disk;
mod http;
mod interrupt;
mod join;
mod lines;
mod media;
mod mesh;
mod republish;
mod seeing;
