//! A node for the tests, in this process.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use headwater_certs::{ClientTrust, Fingerprint, client_config};
use headwater_pubsub::net::{self, Client, Clock, ConnectOptions, Dialer, QuicLimits, connect};
use headwater_relay::{
    config::Config,
    node::{Node, Shutdown, WallClock},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

/// A node on a thread of its own.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) pin: Fingerprint,
    admin: SocketAddr,
    shutdown: Shutdown,
    thread: Option<std::thread::JoinHandle<()>>,
    _state: Option<tempfile::TempDir>,
}

impl Running {
    pub(crate) fn start(config: Config) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), config)
    }

    /// With what a state directory holds already.
    pub(crate) fn start_in(state: tempfile::TempDir, config: Config) -> Self {
        let path = state.path().to_owned();
        let mut running = Self::start_at(&path, config, WallClock::system());
        running._state = Some(state);
        running
    }

    /// With what a directory holds that outlives the node, under a calendar of the test's. Where the configuration says if that
    /// is on loopback.
    pub(crate) fn start_at(state: &Path, config: Config, wall: WallClock) -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = Some(config.listen).filter(|listen| listen.ip().is_loopback());
        let config = Config {
            listen: listen.unwrap_or(anywhere),
            admin: Some(anywhere),
            state_dir: Some(state.to_owned()),
            ..config
        };
        let shutdown = Shutdown::default();
        let (bound, ready) = std::sync::mpsc::channel();
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let node = Node::bind_at(config, wall).await.expect("a node");
                let pin = node.fingerprint().expect("a key of its own");
                let admin = node.admin_addr().expect("asked for");
                bound.send((node.local_addr(), admin, pin)).expect("awaited");
                node.run(stop).await;
            });
        });
        let (address, admin, pin) = ready.recv().expect("the node starts");
        Self {
            address,
            pin,
            admin,
            shutdown,
            thread: Some(thread),
            _state: None,
        }
    }

    /// The same as [`get`](Self::get), for an answer that takes what the test's own runtime carries.
    pub(crate) async fn ask(&self, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(self.admin)
            .await
            .expect("the operator's interface");
        stream.write_all(request(path).as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        body(&answer)
    }

    /// What the operator's interface answers.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).expect("the operator's interface");
        std::io::Write::write_all(&mut stream, request(path).as_bytes()).expect("sent");
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).expect("an answer");
        body(&answer)
    }

    /// The sum of a metric's lines that have `label` in them, as the operator's interface shows it.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        self.get("/metrics")
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(label))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Asks the node to leave in good order.
    pub(crate) fn drain(&self) {
        self.shutdown.drain.cancel();
    }

    /// Waits until the node has stopped by itself.
    pub(crate) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the node ends well");
        }
    }

    pub(crate) async fn dial(&self, scheme: &str, clock: Clock, drivers: &mut JoinSet<()>) -> Client {
        let tls = client_config(&ClientTrust::Pin(vec![self.pin]), &[]).expect("a pin");
        let dialer = Dialer::new(net::client().expect("a socket"), tls, QuicLimits::default());
        let url = format!("{scheme}://{}/", self.address).parse().expect("a URL");
        let options = ConnectOptions {
            clock,
            ..ConnectOptions::default()
        };
        let (client, driver) = connect(&dialer, &url, options).await.expect("connected");
        drivers.spawn(async move {
            driver.run().await;
        });
        client.established().await.expect("SETUP");
        client
    }
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

fn body(answer: &str) -> String {
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    body.to_owned()
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.abort.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the node panicked");
        }
    }
}
