//! All subscribers of a pattern, in one process with a socket for each few of them.
//!
//! Over raw QUIC it speaks the few bytes that it takes by itself, the same to the relay and to the bare server; over WebTransport
//! it is the library's client.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::BytesMut;
use headwater_certs::{ClientTrust, client_config};
use headwater_pubsub::net::{self, Clock, SubscribeOptions, Subscriber};
use headwater_pubsub::wire::control::Subscribe;
use headwater_pubsub::wire::data::ObjectStatus;
use headwater_pubsub::wire::{Location, Message, Parameters, Version, varint};
use tokio::task::{JoinSet, LocalSet};

use super::joiner;
use super::pattern::{Head, Pattern, Rate};
use super::role::{number, say, told};
use super::source::session;
use super::stream;
use super::tally::Tally;

/// SETUP without options.
const SETUP: &[u8] = &[0xaf, 0x00, 0x00, 0x00];
const SUBSCRIBE_OK: u64 = 0x04;
/// How the subscribers ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Not at all: the bare server sends to whoever comes.
    Nothing,
    /// Over raw QUIC.
    Raw,
    /// Over WebTransport.
    Web,
}

/// Streams that a server may have open towards a session.
pub(super) const STREAMS: u32 = 1024;
/// Bytes of a stream that may be on their way.
pub(super) const STREAM_WINDOW: u32 = 4 << 20;
/// And of a connection.
pub(super) const WINDOW: u32 = 16 << 20;
/// How often it is looked at what is missing in the end.
const LOOK: std::time::Duration = std::time::Duration::from_millis(500);
/// Sockets at most.
const SOCKETS: usize = 64;

pub(super) type Shared = Rc<RefCell<Tally>>;

pub(super) fn run(at: SocketAddr, pattern: Pattern, asked: Asked) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, subscribe(at, pattern, asked))
}

async fn subscribe(at: SocketAddr, pattern: Pattern, asked: Asked) -> Result<()> {
    let tally = Rc::new(RefCell::new(Tally::new(pattern)));
    let mut told = told();
    let mut held = Vec::new();
    let mut drivers = JoinSet::new();
    let mut sockets = Vec::new();
    for _ in 0..pattern.sessions.min(SOCKETS) {
        sockets.push(net::client()?);
    }
    for number in 0..pattern.sessions {
        let tally = Rc::clone(&tally);
        let socket = sockets.get(number % sockets.len()).context("a socket")?;
        if asked == Asked::Web {
            read_web(socket, at, pattern, number, tally, &mut drivers).await?;
        } else {
            held.push(read_raw(socket, at, pattern, number, asked, tally).await?);
        }
    }
    say("ready");
    let mut until = None;
    let mut joining = None;
    loop {
        let came = Rc::clone(&tally.borrow().came);
        tokio::select! {
            line = told.recv() => {
                let line = line.context("the driver is gone")?;
                if line == "mark" {
                    match (&joining, pattern.joins) {
                        (None, Some(rate)) => {
                            let socket = net::client()?;
                            joining = Some(joiner::come(at, pattern, rate, asked, socket, Rc::clone(&tally)));
                        }
                        (Some(joining), _) => {
                            joining.abort();
                            all_gone(&tally).await;
                        }
                        (None, None) => {}
                    }
                    say(&format!("marked {}", tally.borrow_mut().mark()));
                }
                until = until.or(number(&line, "until "));
            }
            () = came.notified() => {}
            () = tokio::time::sleep(LOOK), if until.is_some() => {}
        }
        if pattern.rate == Rate::AsTaken
            && let Some(taken) = tally.borrow_mut().taken()
        {
            say(&format!("taken {taken}"));
        }
        if let Some(step) = until
            && (tally.borrow().is_whole(step) || tally.borrow().is_late())
        {
            say(&format!("result {}", tally.borrow().result(step)));
            return Ok(());
        }
    }
}

/// Waits until the last joiner has gone: each is patient for so long.
async fn all_gone(tally: &Shared) {
    while tally.borrow().looking > 0 {
        let came = Rc::clone(&tally.borrow().came);
        came.notified().await;
    }
}

/// What keeps a session and its requests.
struct Held {
    _connection: quinn::Connection,
    _requests: Requests,
}

async fn read_raw(
    socket: &quinn::Endpoint,
    at: SocketAddr,
    pattern: Pattern,
    number: usize,
    asked: Asked,
    tally: Shared,
) -> Result<Held> {
    let connection = dial(socket, at).await?;
    let requests = match asked {
        Asked::Nothing => Requests::default(),
        _ => subscribe_raw(&connection, pattern, number).await?,
    };
    if number >= pattern.stalled {
        let connection = connection.clone();
        // All end with the process.
        drop(tokio::task::spawn_local(async move {
            while let Ok(stream) = connection.accept_uni().await {
                let tally = Rc::clone(&tally);
                drop(tokio::task::spawn_local(async move {
                    let mut take = |at: Location, head, len| {
                        tally.borrow_mut().object(number, at, head, len);
                    };
                    if let Err(fault) = stream::read(stream, &mut take).await {
                        tally.borrow_mut().fault(format!("{fault:#}"));
                    }
                }));
            }
        }));
    }
    Ok(Held {
        _connection: connection,
        _requests: requests,
    })
}

/// Both halves of the streams that must stay open: of the control stream, and of each request.
#[derive(Default)]
pub(super) struct Requests {
    pub(super) asking: Vec<quinn::SendStream>,
    pub(super) answers: Vec<quinn::RecvStream>,
}

/// SETUP, and a SUBSCRIBE of each track of the session.
pub(super) async fn subscribe_raw(
    connection: &quinn::Connection,
    pattern: Pattern,
    number: usize,
) -> Result<Requests> {
    let mut requests = Requests::default();
    let mut control = connection.open_uni().await?;
    control.write_all(SETUP).await?;
    requests.asking.push(control);
    for (request_id, track) in (0..).step_by(2).zip(pattern.tracks_of(number)) {
        let subscribe = Message::Subscribe(Subscribe {
            request_id,
            track: pattern.track(track)?,
            parameters: Parameters::default(),
        });
        ask(connection, &subscribe, SUBSCRIBE_OK, &mut requests).await?;
    }
    Ok(requests)
}

/// Sends a request and waits until it is granted.
pub(super) async fn ask(
    connection: &quinn::Connection,
    request: &Message,
    granted: u64,
    requests: &mut Requests,
) -> Result<()> {
    let (mut stream, mut answer) = connection.open_bi().await?;
    let mut bytes = BytesMut::new();
    request.encode(Version::Draft18, &mut bytes)?;
    stream.write_all(&bytes).await?;
    let first = answer.read_chunk(1024, true).await?.context("an answer")?;
    let kind = varint::decode(&first.bytes).map(|(kind, _)| kind);
    ensure!(kind == Some(granted), "refused: {kind:?}");
    requests.asking.push(stream);
    requests.answers.push(answer);
    Ok(())
}

pub(super) async fn dial(socket: &quinn::Endpoint, at: SocketAddr) -> Result<quinn::Connection> {
    let tls = client_config(&ClientTrust::Insecure, &[Version::Draft18.alpn().as_bytes()])?;
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls)?;
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_uni_streams(STREAMS.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(WINDOW.into())
        .keep_alive_interval(Some(std::time::Duration::from_secs(3)));
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    let address = match at {
        SocketAddr::V4(v4) if socket.local_addr()?.is_ipv6() => {
            SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port()))
        }
        _ => at,
    };
    Ok(socket.connect_with(config, address, "localhost")?.await?)
}

async fn read_web(
    socket: &quinn::Endpoint,
    at: SocketAddr,
    pattern: Pattern,
    number: usize,
    tally: Shared,
    drivers: &mut JoinSet<()>,
) -> Result<()> {
    let client = session(socket.clone(), at, "https", Clock::new(), drivers).await?;
    let mut subscribers = Vec::new();
    for track in pattern.tracks_of(number) {
        let subscriber = client
            .subscribe(pattern.track(track)?, SubscribeOptions::default())
            .await?;
        subscribers.push(subscriber);
    }
    for subscriber in subscribers {
        let (client, tally) = (client.clone(), Rc::clone(&tally));
        let reads = number >= pattern.stalled;
        drop(tokio::task::spawn_local(async move {
            let _session = client;
            if !reads {
                std::future::pending::<()>().await;
            }
            if let Err(fault) = read_objects(subscriber, number, &tally).await {
                tally.borrow_mut().fault(format!("{fault:#}"));
            }
        }));
    }
    Ok(())
}

async fn read_objects(mut subscriber: Subscriber, session: usize, tally: &Shared) -> Result<()> {
    while let Some(object) = subscriber.next().await {
        if object.status == ObjectStatus::Normal {
            let head = Head::decode(&object.payload).context("a payload without a head")?;
            let len = u64::try_from(object.payload.len())?;
            tally.borrow_mut().object(session, object.location, head, len);
        }
    }
    bail!("the track ended")
}
