//! Servers that say what a test tells them to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use headwater_certs::{ClientTrust, NodeKey, Resolver, Validity, issue};
use headwater_pubsub::net::{
    self, Client, Clock, ConnectOptions, EndpointSecret, PortSharing, PublishedTrack, QuicLimits, attach,
};
use headwater_pubsub::session::Side;
use headwater_pubsub::track::{Cache, CacheLimits};
use headwater_pubsub::wire::{Properties, Version};
use tokio::task::JoinSet;

use crate::link::Link;
use crate::target::Target;

/// A server without a relay's head: it accepts, and serves the tracks that it has.
pub(crate) struct Server {
    pub(crate) target: Target,
    clients: Arc<Mutex<Vec<Client>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) fn start(clock: Clock, tracks: impl IntoIterator<Item = PublishedTrack>) -> Self {
        let tracks: Vec<_> = tracks.into_iter().collect();
        let (endpoint, target) = endpoint();
        let limits = QuicLimits::default();
        let clients = Arc::new(Mutex::new(Vec::new()));
        let accepted = clients.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut drivers = JoinSet::new();
            while let Some(incoming) = endpoint.accept().await {
                let transport = net::accept(incoming, &limits).await.unwrap().transport;
                let options = ConnectOptions {
                    clock,
                    ..ConnectOptions::default()
                };
                let (client, driver) = attach(transport, Side::Server, &options).unwrap();
                for track in &tracks {
                    client.serve(track);
                }
                drivers.spawn(driver.run());
                accepted.lock().unwrap().push(client);
            }
        });
        Self {
            target,
            clients,
            _tasks: tasks,
        }
    }

    /// The server's ends of the sessions so far.
    pub(crate) fn clients(&self) -> Vec<Client> {
        self.clients.lock().unwrap().clone()
    }

    pub(crate) fn link(&self, clock: Clock) -> Link {
        link(&self.target, clock)
    }

    /// A track that servers can share.
    pub(crate) fn track(&self, name: &str) -> PublishedTrack {
        let limits = CacheLimits {
            min_groups: 10_000,
            ..CacheLimits::default()
        };
        let name = self.target.track(name).unwrap();
        PublishedTrack::new(name, Properties::default(), &Cache::new(limits)).unwrap()
    }
}

/// Where a server listens, and how to get there.
fn endpoint() -> (quinn::Endpoint, Target) {
    let socket = net::bind(SocketAddr::from(([127, 0, 0, 1], 0)), PortSharing::Alone).unwrap();
    let address = socket.local_addr().unwrap();
    let key = NodeKey::generate().unwrap();
    let validity = Validity::starting(SystemTime::UNIX_EPOCH, Duration::from_secs(3600));
    let certificate = issue(&key, &["127.0.0.1".to_owned()], validity).unwrap();
    let resolver = Resolver::new(key.certified(&certificate).unwrap());
    let tls = headwater_certs::server_config(resolver, &[Version::default().alpn().as_bytes()]);
    let secret = EndpointSecret::new([7; 32]);
    let endpoint = net::server(socket, tls, &QuicLimits::default(), &secret).unwrap();
    let target = Target::parse(&format!("moqt://{address}/live"), None).unwrap();
    (endpoint, target)
}

fn link(target: &Target, clock: Clock) -> Link {
    Link::with(target.clone(), &ClientTrust::Insecure, None, clock).unwrap()
}

/// A URI where nobody is, which shows at once.
pub(crate) const NOWHERE: &str = "moqt://127.0.0.1:0/";

/// A link to a server that says GOAWAY with `uri` to every request instead of an answer, while the set is held.
pub(crate) fn turning_away(clock: Clock, uri: &'static str) -> (Link, JoinSet<()>) {
    let (endpoint, target) = endpoint();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let connection = endpoint.accept().await.unwrap().await.unwrap();
        let mut control = connection.open_uni().await.unwrap();
        // SETUP without options.
        control.write_all(&[0xaf, 0x00, 0x00, 0x00]).await.unwrap();
        let length = u8::try_from(uri.len()).unwrap();
        // GOAWAY: its length, the URI's, the URI, no timeout.
        let goaway = [&[0x10, 0x00, length + 2, length], uri.as_bytes(), &[0x00]].concat();
        let mut held = Vec::new();
        while let Ok((mut answer, mut question)) = connection.accept_bi().await {
            question.read_chunk(usize::MAX, true).await.unwrap().unwrap();
            answer.write_all(&goaway).await.unwrap();
            held.push((answer, question));
        }
    });
    (link(&target, clock), tasks)
}
