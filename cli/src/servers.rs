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

/// A server without a relay's head: it accepts, and serves one track if it has one.
pub(crate) struct Server {
    pub(crate) target: Target,
    clients: Arc<Mutex<Vec<Client>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) fn start(clock: Clock, track: Option<PublishedTrack>) -> Self {
        let socket = net::bind(SocketAddr::from(([127, 0, 0, 1], 0)), PortSharing::Alone).unwrap();
        let address = socket.local_addr().unwrap();
        let key = NodeKey::generate().unwrap();
        let validity = Validity::starting(SystemTime::UNIX_EPOCH, Duration::from_secs(3600));
        let certificate = issue(&key, &["127.0.0.1".to_owned()], validity).unwrap();
        let resolver = Resolver::new(key.certified(&certificate).unwrap());
        let tls = headwater_certs::server_config(resolver, &[Version::default().alpn().as_bytes()]);
        let limits = QuicLimits::default();
        let endpoint = net::server(socket, tls, &limits, &EndpointSecret::new([7; 32])).unwrap();
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
                if let Some(track) = &track {
                    client.serve(track);
                }
                drivers.spawn(driver.run());
                accepted.lock().unwrap().push(client);
            }
        });
        Self {
            target: Target::parse(&format!("moqt://{address}/live"), None).unwrap(),
            clients,
            _tasks: tasks,
        }
    }

    /// The server's ends of the sessions so far.
    pub(crate) fn clients(&self) -> Vec<Client> {
        self.clients.lock().unwrap().clone()
    }

    pub(crate) fn link(&self, clock: Clock) -> Link {
        Link::with(self.target.clone(), &ClientTrust::Insecure, None, clock).unwrap()
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
