//! The overlay: which neighbour a track is pulled from, decided by a gossip of distances.
//!
//! Neighbours exchange distance rows per *origin* (a node where somebody publishes), never per namespace, and reconcile a signed
//! log of namespaces per origin. A feasibility distance that binds every upstream in use keeps the graph of subscriptions free of
//! cycles at every instant, as in Babel (RFC 8966) and DUAL, whose nouns are used here.
//!
//! State machines without clock, sockets or randomness: time is a [`Duration`](std::time::Duration) since a start of the
//! caller's choice, and comes in with every call. Nothing that is decided depends on the order of a hash map.

pub mod core;
pub mod health;
pub mod id;
pub mod logs;
pub mod members;
pub mod message;
pub mod metric;
pub mod routes;
pub mod upstream;
