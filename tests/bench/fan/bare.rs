//! A server that does nothing but send: every connection gets the pattern, each object encoded once for all.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
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

use super::pattern::{Head, Pattern};
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
    /// Of the object and of its payload.
    head: Bytes,
    filler: Bytes,
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
    // A session reads the tracks of its class.
    let senders: Vec<_> = (0..pattern.classes)
        .map(|_| broadcast::channel(BEHIND).0)
        .collect();
    let filler = Bytes::from(vec![0x5a; pattern.bytes - Head::LEN]);
    let mut pace = Pace::new(pattern);
    say(&format!("ready {}", endpoint.local_addr()?));
    let mut accepting = JoinSet::new();
    let group = Arc::default();
    accepting.spawn(accept(endpoint, pattern, senders.clone(), Arc::clone(&group)));
    pace.begun().await?;
    let mut step = 0;
    while pace.next(step).await? {
        for track in 0..pattern.tracks {
            let piece = piece(pattern, track, step, &filler)?;
            if pattern.joins.is_some() {
                let mut group = group.lock().unwrap_or_else(PoisonError::into_inner);
                if piece.opens.is_some() {
                    group.clear();
                }
                group.push(piece.clone());
            }
            if let Some(sender) = senders.get(track % pattern.classes) {
                // Nobody may be connected.
                drop(sender.send(piece));
            }
        }
        step += 1;
    }
    say(&format!("stopped {}", step.saturating_sub(1)));
    pace.over().await;
    Ok(())
}

/// What of the group that is under way was sent: a joiner gets it first.
type Group = Arc<Mutex<Vec<Piece>>>;

async fn accept(
    endpoint: quinn::Endpoint,
    pattern: Pattern,
    senders: Vec<broadcast::Sender<Piece>>,
    group: Group,
) {
    let mut feeds = JoinSet::new();
    let mut number = 0;
    while let Some(incoming) = endpoint.accept().await {
        let Some(sender) = senders.get(number % pattern.classes).cloned() else {
            return;
        };
        number += 1;
        let group = Arc::clone(&group);
        // The subscriber may know before the server that the handshake is over.
        let early = pattern.joins.is_none().then(|| sender.subscribe());
        feeds.spawn(async move {
            if let Ok(connection) = incoming.await {
                // One thread: nothing comes between the two.
                let past = group.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let pieces = early.unwrap_or_else(|| sender.subscribe());
                // Its end is the subscriber's.
                drop(feed(connection, pattern, past, pieces).await);
            }
        });
        while feeds.try_join_next().is_some() {}
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

fn piece(pattern: Pattern, track: usize, step: u64, filler: &Bytes) -> Result<Piece> {
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
    let fields = SubgroupObject {
        id: object,
        properties: Properties::empty(),
        payload_len: u64::try_from(pattern.bytes)?,
        status: ObjectStatus::Normal,
    };
    let mut head = BytesMut::new();
    encode_object(object.checked_sub(1), &fields, false, &mut head)?;
    Head::now(track, step).encode(&mut head);
    Ok(Piece {
        track,
        opens,
        head: head.freeze(),
        filler: filler.clone(),
        closes: object + 1 == pattern.group,
    })
}

async fn feed(
    connection: quinn::Connection,
    pattern: Pattern,
    past: Vec<Piece>,
    mut pieces: broadcast::Receiver<Piece>,
) -> Result<()> {
    let mut open: Vec<Option<quinn::SendStream>> = (0..pattern.tracks).map(|_| None).collect();
    for piece in past {
        send(&connection, &mut open, piece).await?;
    }
    loop {
        match pieces.recv().await {
            Ok(piece) => send(&connection, &mut open, piece).await?,
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}

async fn send(
    connection: &quinn::Connection,
    open: &mut [Option<quinn::SendStream>],
    piece: Piece,
) -> Result<()> {
    let Some(place) = open.get_mut(piece.track) else {
        return Ok(());
    };
    let mut chunks = vec![piece.head, piece.filler];
    if let Some(header) = piece.opens {
        *place = Some(connection.open_uni().await?);
        chunks.insert(0, header);
    }
    // One that lagged has none until the next group.
    let Some(stream) = place else { return Ok(()) };
    stream.write_all_chunks(&mut chunks).await?;
    if piece.closes {
        stream.finish().context("open")?;
        *place = None;
    }
    Ok(())
}
