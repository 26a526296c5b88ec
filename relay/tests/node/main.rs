//! A real node over real QUIC, in this process.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod broadcast;
mod clones;
mod cut;
mod door;
mod drain;
mod elsewhere;
mod hostile;
mod hostile_mesh;
mod impostor;
mod join;
mod members;
mod mesh;
mod mesh_moved;
mod mesh_nodes;
mod mesh_paths;
mod mesh_requests;
mod mesh_seen;
mod mesh_tracks;
mod moved;
mod offer;
mod peer;
mod running;
mod webtransport;
