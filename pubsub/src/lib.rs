//! MoQ Transport (draft-18), both ends: publish live media or any other stream of objects, subscribe to it, fetch its past.
//!
//! # The model
//!
//! A **track** is a sequence of **groups**, a group holds **objects**, and an object is a payload with some properties. A
//! subscriber can begin at any group, so a group is what makes sense by itself: a picture that needs no other and those that
//! build on it. Objects of a group may be spread over **subgroups**, each with a priority of its own; a subgroup travels on one
//! QUIC stream, so its objects arrive in order, and different subgroups do not wait for each other. A small object can also be
//! a datagram.
//!
//! A track is named by a **namespace** (a tuple of byte strings) and a name. A publisher tells a relay its namespaces, or
//! offers single tracks; a subscriber asks for tracks by name, or asks which there are under a prefix. A **subscription**
//! passes what is published from now on; a **fetch** gives the past; `net::Client::join` is both without a seam.
//!
//! # In practice
//!
//! No call starts a task. Connecting gives a `net::Client`, the handle that all is done with, and a
//! `net::Driver`, which moves the session as long as its `run` is polled.
//!
//! ```no_run
//! use headwater_pubsub::net::{self, Clock, ConnectOptions, Dialer, PublishedTrack, QuicLimits, SubscribeOptions};
//! use headwater_pubsub::track::{Cache, CacheLimits};
//! use headwater_pubsub::wire::{FullTrackName, Properties, TrackName, TrackNamespace};
//!
//! # async fn example(tls: rustls::ClientConfig) -> Result<(), Box<dyn std::error::Error>> {
//! let dialer = Dialer::new(net::client()?, tls, QuicLimits::default());
//! let clock = Clock::new();
//! let options = ConnectOptions { clock, ..ConnectOptions::default() };
//! let (client, driver) = net::connect(&dialer, &"moqt://relay.example:4443/".parse()?, options).await?;
//! let mut session = tokio::task::JoinSet::new();
//! session.spawn(driver.run());
//!
//! // Publish: a track lives in memory, is served on the session, and is written without ever waiting.
//! let namespace = TrackNamespace::new(["live", "kitchen"])?;
//! let cache = Cache::new(CacheLimits::default());
//! let name = FullTrackName::new(namespace.clone(), TrackName::new("temperature")?)?;
//! let track = PublishedTrack::new(name, Properties::default(), &cache)?;
//! client.serve(&track);
//! let _known = client.publish_namespace(namespace, Vec::new()).await?;
//! let mut writer = track.writer(clock);
//! let mut group = writer.append_group(1_766_000_000_000)?;
//! group.object(Properties::default(), "21.5".into())?;
//! group.finish()?;
//!
//! // Subscribe: from the group before the newest one on, without a gap.
//! let name = FullTrackName::new(TrackNamespace::new(["live", "garden"])?, TrackName::new("temperature")?)?;
//! let mut subscriber = client.join(name, 1, SubscribeOptions::default()).await?;
//! while let Some(object) = subscriber.next().await {
//!     println!("{:?}: {} bytes", object.location, object.payload.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! Data flows one way: `wire` → `session` → `track` → `fanout`; `net` puts them together.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`wire`] | the bytes: messages, parameters, properties, objects; pure functions |
//! | [`session`] | the control plane of one session, as a state machine |
//! | [`track`] | tracks in memory: the cache of a relay, the outbox of a publisher |
//! | [`fanout`] | what one subscription or fetch of a track sends next |
//! | `net` | clients, sessions and transports: QUIC and WebTransport, async |
//!
//! Everything but `net` is free of tokio, sockets, clocks and randomness, and is built alone without the feature `net` (on by
//! default). What a relay decides is in the crate `headwater-relay`.

pub mod fanout;
#[cfg(feature = "net")]
pub mod net;
pub mod session;
pub mod track;
pub mod wire;
