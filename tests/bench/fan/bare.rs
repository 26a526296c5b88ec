//! A server that does nothing but send: every connection gets the pattern, each object encoded once for all.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use bytes::{Bytes, BytesMut};
use headwater_certs::{NodeKey, Resolver, Validity, issue, server_config};
use headwater_pubsub::net::{self, EndpointSecret, PortSharing, QuicLimits};
use headwater_pubsub::wire::data::subgroup::encode_object;
use headwater_pubsub::wire::data::{ObjectStatus, SubgroupHeader, SubgroupId, SubgroupObject};
use headwater_pubsub::wire::{Properties, Version};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use super::pattern::Pattern;
use super::role::say;
use super::source::Pace;

/// Objects that a connection may be behind before it misses some, as one that does not read does.
const BEHIND: usize = 4096;

/// One object for all that read its track.
#[derive(Clone, Debug)]
struct Piece {
    track: usize,
    /// A stream begins with it.
    opens: Option<Bytes>,
    head: Bytes,
    payload: Bytes,
    closes: bool,
}

pub(super) fn run(pattern: Pattern) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(pattern))
}

async fn serve(pattern: Pattern) -> Result<()> {
    let endpoint = endpoint()?;
    let (sender, _) = broadcast::channel(BEHIND);
    let mut pace = Pace::new(pattern);
    say(&format!("ready {}", endpoint.local_addr()?));
    let mut accepting = JoinSet::new();
    accepting.spawn(accept(endpoint, pattern, sender.clone()));
    pace.begun().await?;
    let mut step = 0;
    while pace.next(step).await? {
        for track in 0..pattern.tracks {
            // Nobody may be connected.
            drop(sender.send(piece(pattern, track, step)?));
        }
        step += 1;
    }
    say(&format!("stopped {}", step.saturating_sub(1)));
    pace.over().await;
    Ok(())
}

async fn accept(endpoint: quinn::Endpoint, pattern: Pattern, sender: broadcast::Sender<Piece>) {
    let mut feeds = JoinSet::new();
    let mut number = 0;
    while let Some(incoming) = endpoint.accept().await {
        let tracks = pattern.tracks_of(number).collect();
        number += 1;
        let pieces = sender.subscribe();
        feeds.spawn(async move {
            if let Ok(connection) = incoming.await {
                // Its end is the subscriber's.
                drop(feed(connection, tracks, pieces).await);
            }
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "a certificate begins now")]
fn endpoint() -> Result<quinn::Endpoint> {
    let key = NodeKey::generate()?;
    let validity = Validity::starting(SystemTime::now(), Duration::from_secs(24 * 3600));
    let certificate = issue(&key, &[], validity)?;
    let resolver = Resolver::new(key.certified(&certificate)?);
    let tls = server_config(resolver, &[Version::Draft18.alpn().as_bytes()]);
    let socket = net::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), PortSharing::Alone)?;
    Ok(net::server(
        socket,
        tls,
        &QuicLimits::default(),
        &EndpointSecret::new([7; 32]),
    )?)
}

fn piece(pattern: Pattern, track: usize, step: u64) -> Result<Piece> {
    let (group, object) = (step / pattern.group, step % pattern.group);
    let opens = (object == 0).then(|| {
        let mut header = BytesMut::new();
        SubgroupHeader {
            track_alias: u64::try_from(track).unwrap_or(u64::MAX),
            group,
            subgroup: SubgroupId::Zero,
            priority: Some(128),
            has_properties: false,
            end_of_group: false,
            first_object: true,
        }
        .encode(&mut header);
        header.freeze()
    });
    let payload = pattern.payload(track, step);
    let fields = SubgroupObject {
        id: object,
        properties: Properties::empty(),
        payload_len: u64::try_from(payload.len())?,
        status: ObjectStatus::Normal,
    };
    let mut head = BytesMut::new();
    encode_object(object.checked_sub(1), &fields, false, &mut head)?;
    Ok(Piece {
        track,
        opens,
        head: head.freeze(),
        payload,
        closes: object + 1 == pattern.group,
    })
}

async fn feed(
    connection: quinn::Connection,
    tracks: Vec<usize>,
    mut pieces: broadcast::Receiver<Piece>,
) -> Result<()> {
    let most = tracks.iter().max().map_or(0, |most| most + 1);
    let mut open: Vec<Option<quinn::SendStream>> = (0..most).map(|_| None).collect();
    loop {
        let piece = match pieces.recv().await {
            Ok(piece) => piece,
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        };
        let Some(place) = open
            .get_mut(piece.track)
            .filter(|_| tracks.contains(&piece.track))
        else {
            continue;
        };
        let mut chunks = vec![piece.head, piece.payload];
        if let Some(header) = piece.opens {
            *place = Some(connection.open_uni().await?);
            chunks.insert(0, header);
        }
        // One that lagged has none until the next group.
        let Some(stream) = place else { continue };
        stream.write_all_chunks(&mut chunks).await?;
        if piece.closes {
            stream.finish().context("open")?;
            *place = None;
        }
    }
}
