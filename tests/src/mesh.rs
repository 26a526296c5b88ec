//! A mesh of `moq relay` processes, and links between them that have weather.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use headwater_certs::mesh::{
    Authority, Exporter, Ledger, Membership, NodeIdentity, Office, Request, Revocations, Rights, Terms,
};
use headwater_certs::{ClientTrust, Fingerprint, StateDir, client_config};
use headwater_pubsub::net::{self, Client, Clock, ConnectOptions, Dialer, QuicLimits, connect};
use headwater_relay::emulator::{Link, Weather};
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

use crate::home::Home;
use crate::relay::Relay;

/// How long relays are watched at a time to see which of them carries a track, and how often.
const CARRIED: (Duration, usize) = (Duration::from_millis(400), 10);

/// Makes members.
#[derive(Debug)]
pub struct Members {
    authority: Authority,
    ledger: Ledger,
}

impl Members {
    /// Of a new mesh.
    ///
    /// # Errors
    /// No randomness.
    pub fn new() -> Result<Self> {
        Ok(Self {
            authority: Authority::generate()?,
            ledger: Ledger::default(),
        })
    }

    /// Makes a state directory that of a member. Members know nobody but the peers they are given.
    fn admit(&mut self, path: &Path) -> Result<()> {
        let state = StateDir::create(path)?;
        let identity = Arc::new(NodeIdentity::load_or_create(&state)?);
        #[expect(clippy::disallowed_methods, reason = "certificates are valid by date")]
        let now = SystemTime::now();
        let terms = Terms {
            office: Office {
                fingerprint: Fingerprint::from_bytes([0; 32]),
                // Nobody is there: certificates outlast what is done here.
                addresses: vec!["127.0.0.1:9".parse()?],
            },
            valid: Duration::from_secs(30 * 24 * 3600),
            rights: Rights::All,
        };
        let invite = self.authority.invite(terms, now)?;
        let exporter = Exporter([1; 32]);
        let request = Request::join(&invite, &identity, &exporter).encode();
        let revocations = Revocations::none(self.authority.mesh());
        let answer = self
            .authority
            .decide(&request, &exporter, &mut self.ledger, &revocations, now);
        Membership::join(identity, &invite, &answer.encode())?.join_state(&state)?;
        Ok(())
    }
}

/// A relay of the mesh. Killed when dropped.
#[derive(Debug)]
pub struct Node {
    home: Home,
    address: SocketAddr,
    relay: Option<Relay>,
    log: Option<&'static str>,
}

impl Node {
    /// A new member that keeps sessions to these addresses.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(members: &mut Members, peers: &[SocketAddr]) -> Result<Self> {
        Self::start_at(members, ([127, 0, 0, 1], 0).into(), peers, None)
    }

    /// The same at an address, and with one that others are told of.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_at(
        members: &mut Members,
        address: SocketAddr,
        peers: &[SocketAddr],
        advertise: Option<SocketAddr>,
    ) -> Result<Self> {
        let mut node = Self::prepare(members, address, peers, advertise)?;
        node.restart()?;
        Ok(node)
    }

    /// A new member that does not run yet.
    ///
    /// # Errors
    /// Its state cannot be made.
    pub fn prepare(
        members: &mut Members,
        address: SocketAddr,
        peers: &[SocketAddr],
        advertise: Option<SocketAddr>,
    ) -> Result<Self> {
        let home = Home::new()?;
        members.admit(&home.file("node"))?;
        let peers: Vec<String> = peers.iter().map(|peer| format!("\"moqt://{peer}\"")).collect();
        let advertise: Vec<String> = advertise.iter().map(|own| format!("\"{own}\"")).collect();
        let settings = format!(
            "state_dir = {:?}\nthreads = 1\npeers = [{}]\nadvertise = [{}]\n",
            home.file("node"),
            peers.join(", "),
            advertise.join(", ")
        );
        std::fs::write(home.file("relay.toml"), settings)?;
        Ok(Self {
            home,
            address,
            relay: None,
            log: None,
        })
    }

    /// What it is to log from its next start on, as `HEADWATER_LOG` says it.
    #[must_use]
    pub fn log(mut self, directives: &'static str) -> Self {
        self.log = Some(directives);
        self
    }

    /// Starts it again where it was.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.relay = None;
        let mut relay = self
            .home
            .relay()
            .listen(self.address)
            .args(["--config", "relay.toml"]);
        if let Some(log) = self.log {
            relay = relay.env("HEADWATER_LOG", log);
        }
        let relay = relay.start()?;
        self.address = relay.listen();
        self.relay = Some(relay);
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process.
    ///
    /// # Errors
    /// It was killed.
    pub fn relay(&self) -> Result<&Relay> {
        self.relay.as_ref().context("the relay is dead")
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// It is dead already, or does not die.
    pub fn kill(&mut self) -> Result<()> {
        self.relay.take().context("the relay is dead")?.crash()?;
        Ok(())
    }

    /// Payload bytes that it has carried.
    ///
    /// # Errors
    /// It does not tell.
    pub fn carried(&self) -> Result<f64> {
        self.relay()?.metric("moq_payload_bytes_total")
    }
}

/// A runtime on a thread of its own, for links and clients, so that the caller may wait for processes.
#[derive(Debug)]
pub struct Net {
    handle: Handle,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Of all clients and tracks.
    pub clock: Clock,
}

impl Net {
    /// Starts it.
    ///
    /// # Errors
    /// No runtime can be had.
    pub fn new() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, stop) = (runtime.handle().clone(), CancellationToken::new());
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || runtime.block_on(stopped.cancelled()));
        Ok(Self {
            handle,
            stop,
            thread: Some(thread),
            clock: Clock::new(),
        })
    }

    /// Runs something beside; it ends with this.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Owned by the runtime, which ends with this value.
        drop(self.handle.spawn(task));
    }

    /// Waits for something.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle.block_on(future)
    }

    /// A link to a node; gives what is to be dialled instead of it.
    ///
    /// # Errors
    /// No socket can be had.
    pub fn link(&self, target: SocketAddr, weather: &Weather) -> Result<SocketAddr> {
        let link = self.wait(Link::bind(target, weather.clone()))?;
        let address = link.local_addr()?;
        self.spawn(async move {
            // Its end shows as silence, which the story notices.
            let _broken = link.run().await;
        });
        Ok(address)
    }

    /// A client of a node.
    ///
    /// # Errors
    /// It cannot be reached.
    pub fn client(&self, node: &Node) -> Result<Client> {
        let clock = self.clock;
        let url = format!("moqt://{}/", node.address()).parse()?;
        let (client, driver) = self.wait(async {
            let tls = client_config(&ClientTrust::Insecure, &[])?;
            let dialer = Dialer::new(net::client()?, tls, QuicLimits::default());
            let options = ConnectOptions {
                clock,
                ..ConnectOptions::default()
            };
            anyhow::Ok(connect(&dialer, &url, options).await?)
        })?;
        self.spawn(async move {
            driver.run().await;
        });
        if let Err(end) = self.wait(client.established()) {
            bail!("no session: {end}");
        }
        Ok(client)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic of the runtime's thread was printed.
            let _panicked = thread.join().is_err();
        }
    }
}

/// A relay between the two ends of a fork, and its links: to the near end and to the far one.
#[derive(Debug)]
pub struct Between {
    /// The relay.
    pub node: Node,
    /// One way, to the near end and to the far one.
    pub links: [Weather; 2],
}

/// A publisher's node, a viewer's node, and some between them that each lead from one to the other.
#[derive(Debug)]
pub struct Fork {
    /// The links.
    pub net: Net,
    /// Where it is published.
    pub near: Node,
    /// The ways.
    pub between: Vec<Between>,
    /// Where it is watched.
    pub far: Node,
}

impl Fork {
    /// With these one-way delays from each relay between to the near end and to the far one.
    ///
    /// # Errors
    /// Something does not start.
    pub fn start(delays: &[[Duration; 2]]) -> Result<Self> {
        let net = Net::new()?;
        let mut members = Members::new()?;
        let near = Node::start(&mut members, &[])?;
        let (mut between, mut ways, mut seed) = (Vec::new(), Vec::new(), 0);
        for delays in delays {
            let links = delays.map(|delay| {
                seed += 1;
                Weather::new(delay, seed)
            });
            let [to_near, to_far] = &links;
            let node = Node::start(&mut members, &[net.link(near.address(), to_near)?])?;
            ways.push(net.link(node.address(), to_far)?);
            between.push(Between { node, links });
        }
        let far = Node::start(&mut members, &ways)?;
        Ok(Self {
            net,
            near,
            between,
            far,
        })
    }

    /// The relay that carries what is watched, by what it carries in a moment.
    ///
    /// # Errors
    /// None does, or they do not tell.
    pub fn carrier(&mut self) -> Result<&mut Between> {
        let index = self.carrier_index()?;
        self.between.get_mut(index).context("counted")
    }

    /// Its number.
    ///
    /// # Errors
    /// As [`carrier`](Self::carrier).
    pub fn carrier_index(&self) -> Result<usize> {
        let carried = |between: &Between| between.node.carried().unwrap_or_default();
        for _ in 0..CARRIED.1 {
            let before: Vec<f64> = self.between.iter().map(carried).collect();
            std::thread::sleep(CARRIED.0);
            let most = self
                .between
                .iter()
                .zip(before)
                .map(|(between, before)| carried(between) - before)
                .enumerate()
                .max_by(|(_, a), (_, b)| a.total_cmp(b));
            if let Some((index, _)) = most.filter(|&(_, bytes)| bytes > 0.0) {
                return Ok(index);
            }
        }
        bail!("nobody carries the track")
    }
}
