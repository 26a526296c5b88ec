//! A relay of MoQ Transport: takes each track once from its publishers, however many subscribers ask for it.
//!
//! [`hub`] decides: who is asked for a track, who is served, refused or made to wait. It is a state machine without clock or
//! sockets, and compiles without the feature `net`. `node` does: it accepts sessions, carries out what the hub wants, keeps
//! certificates fresh and tells the time. In a mesh of nodes [`overlay`] says which neighbour a track is pulled from; it stands
//! beside the hub and knows names only. Objects go from a publisher's session into their track and from there to every
//! subscriber's session ([`headwater_pubsub::track`], [`headwater_pubsub::fanout`]); hub, overlay and node never see them.
//!
//! | task | how many | queue into it, bound, policy |
//! | --- | --- | --- |
//! | session driver | one per session | events of its state machine; bounded by the peer's open requests |
//! | control out | one per session | control messages, 1 MiB; the session's own SETUP and GOAWAY only |
//! | egress | one per session | commands and ready requests, bounded by the peer's open requests; objects wait in the cache, not here |
//! | request | one per request stream | answers, 1 MiB; beyond, the request is reset |
//! | uni in | one per data stream of the peer | none: the peer is held back by flow control |
//! | wake gatherer | one per network thread | the egress tasks that other threads woke: each once |
//! | accept loop | one per network thread | handshakes; beyond a rate newcomers prove their address |
//! | timer, renewal, page, operator's interface | one each | none |
//! | gossip, in a mesh | one per neighbour | what it reads: 128 KiB, then the neighbour is held back; what it writes: sets of what has changed, encoded when the stream takes bytes |
//! | pulse, in a mesh | one | none: it samples links and media every 20 ms |
//! | dial, in a mesh | one per node to keep a session with | none |
//! | chores, in a mesh | one | work on files, 16; beyond, a request is refused |
//!
//! ```no_run
//! use headwater_relay::{
//!     config::Config,
//!     node::{Node, Shutdown},
//! };
//!
//! # async fn example() -> Result<(), headwater_relay::node::StartError> {
//! let node = Node::bind(Config::default()).await?;
//! println!("listening on {}", node.local_addr());
//! let shutdown = Shutdown::default();
//! node.run(shutdown).await;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "net")]
pub mod admin;
pub mod config;
#[cfg(feature = "net")]
pub mod emulator;
#[cfg(feature = "net")]
mod http;
pub mod hub;
#[cfg(feature = "net")]
pub mod node;
pub mod overlay;
pub mod status;
#[cfg(feature = "net")]
pub mod web;
