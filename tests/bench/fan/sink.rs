//! All subscribers of a pattern, in one process with a socket for each few of them.
//!
//! Over raw QUIC it speaks the few bytes that it takes by itself, the same to the relay and to the bare server; over WebTransport
//! it is the library's client.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use headwater_certs::{ClientTrust, client_config};
use headwater_pubsub::net::{self, Clock, SubscribeOptions, Subscriber};
use headwater_pubsub::wire::control::Subscribe;
use headwater_pubsub::wire::data::{ObjectStatus, SubgroupEvent, SubgroupReader};
use headwater_pubsub::wire::{Message, Parameters, Version, varint};
use tokio::task::{JoinSet, LocalSet};

use super::pattern::{Head, Pattern};
use super::role::{number, say, told};
use super::source::session;
use super::tally::Tally;

/// SETUP without options.
const SETUP: &[u8] = &[0xaf, 0x00, 0x00, 0x00];
const SUBSCRIBE_OK: u64 = 0x04;
/// Streams that a server may have open towards a session.
const STREAMS: u32 = 1024;
/// How often it is looked at what is missing in the end.
const LOOK: std::time::Duration = std::time::Duration::from_millis(500);
/// Sockets at most.
const SOCKETS: usize = 64;

type Shared = Rc<RefCell<Tally>>;

pub(super) fn run(at: SocketAddr, pattern: Pattern, bare: bool, web: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, subscribe(at, pattern, bare, web))
}

async fn subscribe(at: SocketAddr, pattern: Pattern, bare: bool, web: bool) -> Result<()> {
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
        if web {
            read_web(at, pattern, number, tally, &mut drivers).await?;
        } else {
            let socket = sockets.get(number % sockets.len()).context("a socket")?;
            held.push(read_raw(socket, at, pattern, number, bare, tally).await?);
        }
    }
    say("ready");
    let mut until = None;
    loop {
        let came = Rc::clone(&tally.borrow().came);
        tokio::select! {
            line = told.recv() => {
                let line = line.context("the driver is gone")?;
                if line == "mark" {
                    say(&format!("marked {}", tally.borrow_mut().mark()));
                }
                until = until.or(number(&line, "until "));
            }
            () = came.notified() => {}
            () = tokio::time::sleep(LOOK), if until.is_some() => {}
        }
        if pattern.rate.is_none()
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

/// What keeps a session and its requests.
struct Held {
    _connection: quinn::Connection,
    _streams: Vec<quinn::SendStream>,
    _answers: Vec<quinn::RecvStream>,
}

async fn read_raw(
    socket: &quinn::Endpoint,
    at: SocketAddr,
    pattern: Pattern,
    number: usize,
    bare: bool,
    tally: Shared,
) -> Result<Held> {
    let connection = dial(socket, at).await?;
    let (mut streams, mut answers) = (Vec::new(), Vec::new());
    if !bare {
        let mut control = connection.open_uni().await?;
        control.write_all(SETUP).await?;
        streams.push(control);
        for (request, track) in (0..).step_by(2).zip(pattern.tracks_of(number)) {
            let (mut stream, mut answer) = connection.open_bi().await?;
            let subscribe = Message::Subscribe(Subscribe {
                request_id: request,
                track: pattern.track(track)?,
                parameters: Parameters::default(),
            });
            let mut bytes = BytesMut::new();
            subscribe.encode(Version::Draft18, &mut bytes)?;
            stream.write_all(&bytes).await?;
            let first = answer.read_chunk(1024, true).await?.context("an answer")?;
            let kind = varint::decode(&first.bytes).map(|(kind, _)| kind);
            ensure!(kind == Some(SUBSCRIBE_OK), "subscription refused: {kind:?}");
            streams.push(stream);
            answers.push(answer);
        }
    }
    if number >= pattern.stalled {
        let connection = connection.clone();
        // All end with the process.
        drop(tokio::task::spawn_local(async move {
            while let Ok(stream) = connection.accept_uni().await {
                let tally = Rc::clone(&tally);
                drop(tokio::task::spawn_local(async move {
                    if let Err(fault) = read_stream(stream, number, &tally).await {
                        tally.borrow_mut().fault(format!("{fault:#}"));
                    }
                }));
            }
        }));
    }
    Ok(Held {
        _connection: connection,
        _streams: streams,
        _answers: answers,
    })
}

async fn dial(socket: &quinn::Endpoint, at: SocketAddr) -> Result<quinn::Connection> {
    let tls = client_config(&ClientTrust::Insecure, &[Version::Draft18.alpn().as_bytes()])?;
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls)?;
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_uni_streams(STREAMS.into())
        .stream_receive_window((4_u32 << 20).into())
        .receive_window((16_u32 << 20).into())
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

async fn read_stream(mut stream: quinn::RecvStream, session: usize, tally: &Shared) -> Result<()> {
    let mut reader = SubgroupReader::new(Version::Draft18);
    let mut object: Option<Object> = None;
    let mut first = true;
    let mut group = 0;
    while let Some(chunk) = stream.read_chunk(usize::MAX, true).await? {
        if std::mem::take(&mut first) && chunk.bytes.first() == SETUP.first() {
            // The server's control stream.
            while stream.read_chunk(usize::MAX, true).await?.is_some() {}
            return Ok(());
        }
        reader.push(chunk.bytes);
        while let Some(event) = reader.poll()? {
            match event {
                SubgroupEvent::Header(header) => group = header.group,
                SubgroupEvent::Object(fields) if fields.status == ObjectStatus::Normal => {
                    object = Some(Object::new(group, fields.id, fields.payload_len));
                }
                SubgroupEvent::Object(_) => {}
                SubgroupEvent::Payload(bytes) => {
                    let whole = object.as_mut().is_some_and(|object| object.take(&bytes));
                    if whole && let Some(object) = object.take() {
                        let head = Head::decode(&object.head).context("a payload without a head")?;
                        tally
                            .borrow_mut()
                            .object(session, (object.group, object.id), head, object.len);
                    }
                }
            }
        }
    }
    Ok(())
}

/// An object that arrives.
struct Object {
    group: u64,
    id: u64,
    len: u64,
    left: u64,
    head: Vec<u8>,
}

impl Object {
    fn new(group: u64, id: u64, len: u64) -> Self {
        Self {
            group,
            id,
            len,
            left: len,
            head: Vec::with_capacity(Head::LEN),
        }
    }

    /// Whether it is whole now.
    fn take(&mut self, bytes: &Bytes) -> bool {
        let missing = Head::LEN - self.head.len();
        self.head.extend(bytes.iter().take(missing));
        self.left = self
            .left
            .saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.left == 0
    }
}

async fn read_web(
    at: SocketAddr,
    pattern: Pattern,
    number: usize,
    tally: Shared,
    drivers: &mut JoinSet<()>,
) -> Result<()> {
    let client = session(at, "https", Clock::new(), drivers).await?;
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
            let at = (object.location.group, object.location.object);
            let len = u64::try_from(object.payload.len())?;
            tally.borrow_mut().object(session, at, head, len);
        }
    }
    bail!("the track ended")
}
