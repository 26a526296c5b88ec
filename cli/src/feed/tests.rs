use bytes::Bytes;
use headwater_pubsub::net::{Clock, GroupWriter, TrackWriter};
use headwater_pubsub::wire::Properties;

use super::*;
use crate::servers::{NOWHERE, Server, turning_away};

#[test]
fn numbers_that_start_over_are_told_from_ones_that_lag() {
    let at = Location::new;
    // Counted from zero by a new publisher.
    assert!(started_over(at(100, 0), at(0, 5)));
    assert!(started_over(at(1_700_000_000_000, 3), at(12, 0)));
    // A relay that lags, or has what we have.
    assert!(!started_over(at(1_700_000_000_000, 3), at(1_699_999_998_000, 9)));
    assert!(!started_over(at(5, 3), at(5, 2)));
    assert!(!started_over(at(5, 3), at(9, 0)));
}

/// Objects of a group.
const GROUP: u64 = 5;

/// Writes an object every millisecond, GROUP to a group.
async fn write(mut writer: TrackWriter) {
    let mut pace = tokio::time::interval(Duration::from_millis(1));
    for id in 0.. {
        let mut group = writer.group(id).unwrap();
        for _ in 0..GROUP {
            pace.tick().await;
            group
                .object(Properties::default(), Bytes::from_static(b"x"))
                .unwrap();
        }
        group.finish().unwrap();
    }
}

/// Two servers of one track that is being written, and a feed of it from the first.
struct World {
    servers: [Server; 2],
    name: FullTrackName,
    events: mpsc::Receiver<(usize, Event)>,
    _keeper: Keeper,
    _tasks: [JoinSet<()>; 2],
}

impl World {
    async fn new() -> Self {
        let clock = Clock::new();
        let track = Server::start(clock, None).track("t");
        let servers = [(); 2].map(|()| Server::start(clock, Some(track.clone())));
        let mut writing = JoinSet::new();
        writing.spawn(write(track.writer(clock)));
        let link = Arc::new(servers[0].link(clock));
        let session = link.dial().await.unwrap();
        let keeper = Keeper::new(link, session, Arc::new(Console::new(true)));
        let (sender, events) = mpsc::channel(QUEUE);
        let mut feeds = JoinSet::new();
        let feed = Feed::new(track.name().clone(), Absent::Wait);
        spawn(&mut feeds, 0, feed, keeper.current.clone(), sender);
        Self {
            servers,
            name: track.name().clone(),
            events,
            _keeper: keeper,
            _tasks: [writing, feeds],
        }
    }

    async fn next(&mut self) -> Location {
        loop {
            match self.events.recv().await.unwrap().1 {
                Event::Object(object) => return object.location,
                Event::Waiting | Event::Found => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Has server `from` send the subscription to `to`, or to itself; true if it has one.
    fn send(&self, from: usize, to: Option<usize>) -> bool {
        let uri = to.map_or_else(String::new, |to| self.servers[to].target.url.to_string());
        let clients = self.servers[from].clients();
        let told = clients
            .iter()
            .map(|client| client.send_track_goaway(&self.name, &uri, Duration::ZERO));
        told.sum::<usize>() > 0
    }
}

#[tokio::test]
async fn one_who_stops_gets_what_has_come_behind_a_hole() {
    let clock = Clock::new();
    let origin = Server::start(clock, None);
    let tracks = ["t", "u"].map(|name| origin.track(name));
    let server = Server::start(clock, tracks.clone());
    let put = |group: &mut GroupWriter| {
        group.object(Properties::default(), "x".into()).unwrap();
    };
    let mut writers = tracks.each_ref().map(|track| track.writer(clock));
    let mut groups = writers.each_mut().map(|writer| writer.group(0).unwrap());
    groups.iter_mut().for_each(put);

    let link = Arc::new(server.link(clock));
    let session = link.dial().await.unwrap();
    let keeper = Keeper::new(link, session, Arc::new(Console::new(true)));
    let (sender, mut events) = mpsc::channel(QUEUE);
    let (mut feeds, stop) = (JoinSet::new(), CancellationToken::new());
    for (index, track) in tracks.iter().enumerate() {
        let feed = Feed::new(track.name().clone(), Absent::Wait).until(stop.clone());
        spawn(&mut feeds, index, feed, keeper.current.clone(), sender.clone());
    }
    drop(sender);
    let mut next = async || {
        loop {
            match events.recv().await {
                Some((track, Event::Object(object))) => return Some((track, object.location)),
                Some(_) => {}
                None => return None,
            }
        }
    };
    let mut first = [next().await.unwrap().0, next().await.unwrap().0];
    first.sort_unstable();
    assert_eq!(first, [0, 1]);
    // Nobody knows whether the group before has ended.
    let mut late = writers[0].group(5).unwrap();
    put(&mut late);
    put(&mut late);
    // What is sent after it has come.
    put(&mut groups[1]);
    assert_eq!(next().await, Some((1, Location::new(0, 1))));
    stop.cancel();
    assert_eq!(next().await, Some((0, Location::new(5, 0))));
    assert_eq!(next().await, Some((0, Location::new(5, 1))));
    assert_eq!(next().await, None);
}

fn after(at: Location) -> Location {
    if at.object + 1 < GROUP {
        Location::new(at.group, at.object + 1)
    } else {
        Location::new(at.group + 1, 0)
    }
}

#[tokio::test]
async fn a_subscription_that_is_sent_elsewhere_is_read_on_there() {
    let mut world = World::new().await;
    let mut last = world.next().await;
    let moves = [(0, Some(1)), (1, None), (1, Some(0))];
    for (from, to) in moves {
        for _ in 0..100 {
            let next = world.next().await;
            assert_eq!(next, after(last));
            last = next;
        }
        while !world.send(from, to) {
            last = world.next().await;
        }
    }
    for _ in 0..1000 {
        let next = world.next().await;
        assert_eq!(next, after(last));
        last = next;
    }
    assert_eq!(world.servers[1].clients().len(), 1, "it has been there");
}

#[tokio::test]
async fn servers_that_send_a_subscription_to_each_other_end_it() {
    let mut world = World::new().await;
    let failed = loop {
        let _told = (world.send(0, Some(1)), world.send(1, Some(0)));
        match world.events.recv().await.unwrap().1 {
            Event::Refused(failed) => break failed,
            Event::Object(_) | Event::Waiting | Event::Found => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(failed.code(), Some(RequestErrorCode::GOING_AWAY));
    assert!(failed.to_string().contains("in a row"), "{failed}");
}

#[tokio::test]
async fn a_subscription_that_is_sent_back_again_and_again_goes_on() {
    let mut world = World::new().await;
    let mut last = world.next().await;
    for _ in 0..8 {
        while !world.send(0, None) {
            let next = world.next().await;
            assert_eq!(next, after(last));
            last = next;
        }
    }
    for _ in 0..100 {
        let next = world.next().await;
        assert_eq!(next, after(last));
        last = next;
    }
}

#[tokio::test]
async fn a_past_that_leads_nowhere_is_gone_and_the_present_goes_on() {
    for uri in ["", NOWHERE] {
        let (link, _tasks) = turning_away(Clock::new(), uri);
        let session = link.dial().await.unwrap();
        let track = link.target().track("t").unwrap();
        let feed = Feed::new(track, Absent::Wait);
        let (next, last) = (Location::default(), Location::new(3, 0));
        let missed = feed.missed(&session.client, &link, next, last).await;
        assert!(matches!(missed, Missed::Gone), "{uri:?}");
    }
}

#[tokio::test]
async fn a_past_that_is_sent_where_nobody_is_does_not_move_the_present() {
    let clock = Clock::new();
    let track = Server::start(clock, None).track("t");
    let mut group = track.writer(clock).group(0).unwrap();
    // More than the reader of the past takes in at once.
    for _ in 0..20 {
        let payload = Bytes::from(vec![0; 1_000_000]);
        group.object(Properties::default(), payload).unwrap();
    }
    // Each half of the reading has a server of its own, so that each can be told alone.
    let [live, past] = [(); 2].map(|()| Server::start(clock, Some(track.clone())));
    let (link, past_link) = (live.link(clock), past.link(clock));
    let (session, past_session) = (link.dial().await.unwrap(), past_link.dial().await.unwrap());
    let name = || track.name().clone();
    let subscribed = session
        .client
        .subscribe(name(), SubscribeOptions::default())
        .await;
    let last = FetchEnd::Object(Location::new(0, 19));
    let fetched = past_session
        .client
        .fetch(name(), Location::default(), last, FetchOptions::default());
    let fetched = fetched.await.unwrap();
    let mut told = fetched.goaway();
    let tell = |server: &Server, uri: &str| {
        let clients = server.clients();
        let sent = clients
            .iter()
            .map(|client| client.send_track_goaway(track.name(), uri, Duration::ZERO));
        assert_eq!(sent.sum::<usize>(), 1);
    };
    let reading = Reading::new(subscribed.unwrap(), Some(fetched));
    let moved = reading.moved(&link);
    tokio::pin!(moved);
    tell(&past, NOWHERE);
    told.heard().await;
    let early = tokio::time::timeout(Duration::from_millis(100), &mut moved).await;
    assert!(early.is_err(), "the present is not concerned");
    tell(&live, past.target.url.as_ref());
    assert!(moved.await.is_some());
}
