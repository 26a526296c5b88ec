//! The relays of the demo: nodes of one mesh in this process, on links with delay.
//!
//! They stand in a line, each linked to the next. Each is also linked to the one after, by a link that is longer than the two
//! short ones together, so that media takes the line while it holds, and every relay between the ends can be done without.
//! A relay that is silenced lives on, but none of its links carries anything any more, as when a cable is pulled.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headwater_certs::mesh::{Authority, Rights};
use headwater_certs::{CertificateHash, ClientTrust, Fingerprint, StateDir};
use headwater_relay::config::Config;
use headwater_relay::emulator::{Link, Weather};
use headwater_relay::node::{Node, Shutdown, StartError};
use headwater_relay::web::{Alternate, Alternates};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use url::Url;

use super::super::cert::now;
use super::super::relay;
use crate::exit::{Exit, Failure};

/// Where the first relay listens if the port is free.
const USUAL_PORT: u16 = 4443;
/// Least that a long link is longer than the two short ones: routes count a millisecond for each hop beside the delay.
const LONGER: Duration = Duration::from_millis(10);

/// What the demo asks for.
#[derive(Debug)]
pub(super) struct Plan {
    /// How many relays, at least one.
    pub(super) relays: usize,
    /// Delay of a short link, one way.
    pub(super) delay: Duration,
    /// Where the first one listens, if it matters.
    pub(super) listen: Option<SocketAddr>,
    /// State of a single relay; several have theirs in a temporary directory.
    pub(super) state_dir: Option<PathBuf>,
}

/// A running relay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) address: SocketAddr,
    pub(super) fingerprint: Option<Fingerprint>,
    /// Of the certificate that it begins with, which outlasts any demo.
    hash: Option<CertificateHash>,
}

impl Place {
    /// How a client knows it.
    pub(super) fn trust(&self) -> ClientTrust {
        self.fingerprint
            .map_or(ClientTrust::Insecure, |key| ClientTrust::Pin(vec![key]))
    }

    /// How a page finds it.
    fn alternate(&self) -> Option<Alternate> {
        let url = Url::parse(&format!("https://{}/", self.address)).ok()?;
        Some(Alternate::new(&url, self.hash))
    }
}

/// A link between two relays.
#[derive(Debug)]
struct Way {
    /// Their indices, the smaller one first.
    ends: [usize; 2],
    weather: Weather,
    /// Bytes carried until the last look, and between the last two.
    carried: u64,
    lately: u64,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Relays {
    places: Vec<Place>,
    /// What each of them tells pages.
    alternates: Vec<Arc<Alternates>>,
    ways: Vec<Way>,
    shutdown: Shutdown,
    nodes: JoinSet<()>,
    links: JoinSet<std::io::Result<()>>,
    /// The mesh, and where its nodes keep their state.
    mesh: Option<(Authority, TempDir)>,
    silenced: Option<usize>,
}

impl Relays {
    /// Starts them.
    ///
    /// # Errors
    /// A port, the state directory or a link cannot be had.
    pub(super) async fn start(plan: &Plan) -> Result<Self, Failure> {
        let mesh = if plan.relays > 1 {
            let authority = Authority::generate().map_err(failed)?;
            Some((authority, tempfile::tempdir().map_err(failed)?))
        } else {
            None
        };
        let mut relays = Self {
            places: Vec::new(),
            alternates: Vec::new(),
            ways: Vec::new(),
            shutdown: Shutdown::default(),
            nodes: JoinSet::new(),
            links: JoinSet::new(),
            mesh,
            silenced: None,
        };
        for index in 0..plan.relays {
            let peers = relays.link(index, plan.delay).await?;
            let config = Config {
                listen: (Ipv4Addr::LOCALHOST, 0).into(),
                admin: None,
                name: format!("relay {}", index + 1),
                threads: 1,
                public_overlay: true,
                state_dir: relays.state_dir(index, plan)?,
                peers,
                ..Config::default()
            };
            let place = if index == 0 {
                relays.run_first(config, plan.listen).await?
            } else {
                relays
                    .run(config.clone())
                    .await?
                    .map_err(|error| relay::start_failed(error, &config))?
            };
            relays.places.push(place);
        }
        relays.introduce();
        Ok(relays)
    }

    /// Has each relay tell pages of the others, the nearest first.
    fn introduce(&self) {
        for (index, alternates) in self.alternates.iter().enumerate() {
            let mut others: Vec<_> = self.places.iter().enumerate().collect();
            others.retain(|(other, _)| *other != index);
            others.sort_by_key(|(other, _)| other.abs_diff(index));
            alternates.replace(others.iter().filter_map(|(_, place)| place.alternate()).collect());
        }
    }

    /// Links of the next relay to the two before it; what it is to dial.
    async fn link(&mut self, index: usize, delay: Duration) -> Result<Vec<String>, Failure> {
        let mut peers = Vec::new();
        let long = delay * 2 + delay.max(LONGER);
        for (steps, delay) in [(1, delay), (2, long)] {
            let Some((before, place)) = index
                .checked_sub(steps)
                .and_then(|before| Some((before, self.places.get(before)?)))
            else {
                continue;
            };
            let weather = Weather::new(delay, 0);
            let link = Link::bind(place.address, weather.clone()).await.map_err(failed)?;
            peers.push(link.local_addr().map_err(failed)?.to_string());
            self.links.spawn(link.run());
            self.ways.push(Way {
                ends: [before, index],
                weather,
                carried: 0,
                lately: 0,
            });
        }
        Ok(peers)
    }

    /// Where a relay keeps its state; it is a member already if there is a mesh.
    fn state_dir(&self, index: usize, plan: &Plan) -> Result<Option<PathBuf>, Failure> {
        let Some((authority, temporary)) = &self.mesh else {
            return Ok(plan.state_dir.clone());
        };
        let path = temporary.path().join(format!("relay-{}", index + 1));
        let dir = StateDir::create(&path).map_err(failed)?;
        authority.enlist(&dir, Rights::All, now()).map_err(failed)?;
        Ok(Some(path))
    }

    /// The first relay, on the usual port if nobody has it.
    async fn run_first(&mut self, config: Config, listen: Option<SocketAddr>) -> Result<Place, Failure> {
        let usual = (Ipv4Addr::LOCALHOST, USUAL_PORT).into();
        let wanted = Config {
            listen: listen.unwrap_or(usual),
            ..config.clone()
        };
        let (config, error) = match self.run(wanted.clone()).await? {
            Ok(place) => return Ok(place),
            Err(_busy) if listen.is_none() => match self.run(config.clone()).await? {
                Ok(place) => return Ok(place),
                Err(error) => (config, error),
            },
            Err(error) => (wanted, error),
        };
        Err(relay::start_failed(error, &config))
    }

    /// Runs a relay on a thread of its own, as if it were alone there.
    async fn run(&mut self, config: Config) -> Result<Result<Place, StartError>, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let shutdown = self.shutdown.clone();
        let (told, bound) = oneshot::channel();
        self.nodes.spawn_blocking(move || {
            runtime.block_on(async move {
                // If nobody waits any more, the demo has ended.
                match Node::bind(config).await {
                    Ok(node) => {
                        let place = Place {
                            address: node.local_addr(),
                            fingerprint: node.fingerprint(),
                            hash: node.certificate_hashes().first().copied(),
                        };
                        if told.send(Ok((place, node.alternates()))).is_ok() {
                            node.run(shutdown).await;
                        }
                    }
                    Err(error) => {
                        let _waiting = told.send(Err(error)).is_ok();
                    }
                }
            });
        });
        let bound = bound.await.map_err(failed)?;
        Ok(bound.map(|(place, alternates)| {
            self.alternates.push(alternates);
            place
        }))
    }

    /// The relay of the publisher.
    pub(super) fn first(&self) -> Option<Place> {
        self.places.first().copied()
    }

    /// The relay of the subscriber.
    pub(super) fn last(&self) -> Option<Place> {
        self.places.last().copied()
    }

    /// Notes what the links have carried since the last look.
    pub(super) fn look(&mut self) {
        for way in &mut self.ways {
            let carried = way.weather.carried();
            way.lately = carried - way.carried;
            way.carried = carried;
        }
    }

    /// The relays that media passes, by index, from the publisher's to the subscriber's: from the end on, each time along the
    /// link that carried most between the last two looks.
    pub(super) fn path(&self) -> Vec<usize> {
        let mut path = vec![self.places.len().saturating_sub(1)];
        while let Some(way) = self
            .ways
            .iter()
            .filter(|way| path.last() == Some(&way.ends[1]))
            .max_by_key(|way| way.lately)
        {
            path.push(way.ends[0]);
        }
        path.reverse();
        path
    }

    /// Cuts all links of a relay in the middle of the path, and gives its index. `None`: there is none between the ends, or one
    /// was silenced before.
    pub(super) fn silence_middle(&mut self) -> Option<usize> {
        let path = self.path();
        if self.silenced.is_some() || path.len() < 3 {
            return None;
        }
        let middle = *path.get(path.len() / 2)?;
        for way in self.ways.iter().filter(|way| way.ends.contains(&middle)) {
            way.weather.cut(true);
        }
        self.silenced = Some(middle);
        self.silenced
    }

    /// The relay that was silenced.
    pub(super) const fn silenced(&self) -> Option<usize> {
        self.silenced
    }

    /// Ends them all.
    pub(super) async fn stop(mut self) {
        self.shutdown.abort.cancel();
        self.links.shutdown().await;
        while let Some(ended) = self.nodes.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

fn failed(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(Exit::Failure, error).context("the demo's relays do not start")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(relays: usize, lately: impl Fn([usize; 2]) -> u64) -> Relays {
        let place = Place {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            fingerprint: None,
            hash: None,
        };
        let ends = (1..relays).flat_map(|index| {
            let long = (index > 1).then(|| [index - 2, index]);
            std::iter::once([index - 1, index]).chain(long)
        });
        Relays {
            places: vec![place; relays],
            alternates: Vec::new(),
            ways: ends
                .map(|ends| Way {
                    ends,
                    weather: Weather::new(Duration::ZERO, 0),
                    carried: 0,
                    lately: lately(ends),
                })
                .collect(),
            shutdown: Shutdown::default(),
            nodes: JoinSet::new(),
            links: JoinSet::new(),
            mesh: None,
            silenced: None,
        }
    }

    #[test]
    fn the_path_is_where_most_bytes_came_along() {
        let short = line(5, |[from, to]| if to - from == 1 { 100 } else { 3 });
        assert_eq!(short.path(), [0, 1, 2, 3, 4]);
        let around = line(5, |ends| if ends.contains(&2) { 3 } else { 100 });
        assert_eq!(around.path(), [0, 1, 3, 4]);
        assert_eq!(line(1, |_| 0).path(), [0]);
    }

    #[test]
    fn the_middle_of_the_path_is_silenced_once_and_never_an_end() {
        let mut short = line(5, |[from, to]| if to - from == 1 { 100 } else { 3 });
        assert_eq!(short.silence_middle(), Some(2));
        assert_eq!((short.silence_middle(), short.silenced()), (None, Some(2)));
        let mut straight = line(3, |[from, to]| if to - from == 2 { 100 } else { 3 });
        assert_eq!(straight.silence_middle(), None);
    }
}
