//! Tests of the routes: single stories, random networks, and all interleavings of very small ones.

mod explore;
mod net;
mod props;
mod stories;
