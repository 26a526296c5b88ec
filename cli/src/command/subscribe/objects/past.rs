//! A range of the past, read to its end over any number of sessions: each object once.
//!
//! The first answer says where the range ends. What a lost session or a relay that lost its upstream leaves is asked for from
//! the object after the last one, [`TRIES`] times with doubling pauses unless an object comes between. What a server sends
//! elsewhere is asked for there, as one of these times but at once; what is said there does not bind the server at home.

use std::time::Duration;

use headwater_pubsub::net::{Client, FetchEnd, FetchOptions, RequestFailed};
use headwater_pubsub::wire::data::ObjectStatus;
use headwater_pubsub::wire::{FullTrackName, Location, RequestErrorCode};

use tokio::time::Instant;

use super::super::{Reading, Stop};
use super::Format;
use crate::exit::{Exit, Failure};
use crate::link::{Link, Moves, Session};
use crate::output::Data;

/// How often the rest is asked for without an object in between.
const TRIES: u32 = 5;
/// Before the rest is asked for; doubles each time, 7.75 s in all: a relay that restarts and its publisher are back by then.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How long a new session may take.
const SESSION_PATIENCE: Duration = Duration::from_secs(30);

/// What is left of the range.
struct Range {
    track: FullTrackName,
    next: Location,
    end: FetchEnd,
    /// The publisher has said where the range ends.
    begun: bool,
    /// How often the rest was asked for since the last object.
    tries: u32,
}

pub(super) async fn run(
    reading: &Reading,
    track: FullTrackName,
    start: Location,
    end: FetchEnd,
    format: &Format,
    data: &mut Data,
) -> Result<Exit, Stop> {
    let mut range = Range {
        track,
        next: start,
        end,
        begun: false,
        tries: 0,
    };
    let mut current = reading.keeper.current.clone();
    let mut moves = Moves::default();
    let mut away: Option<Session> = None;
    loop {
        let client = match &away {
            Some(session) => Some(session.client.clone()),
            None => tokio::time::timeout(SESSION_PATIENCE, current.session())
                .await
                .unwrap_or_default(),
        };
        let Some(client) = client else {
            let lost = format!("lost {}", reading.link.target().place());
            return Err(range.given_up(reading, Exit::Connect, &lost).into());
        };
        let by = away.as_ref().map_or(By::Home, |_| By::Other);
        let outcome = match range.read(&client, &reading.link, format, data).await? {
            Outcome::Refused(failed) => range.refused(failed, by),
            outcome => outcome,
        };
        let why = match outcome {
            Outcome::Whole => return Ok(Exit::Ok),
            Outcome::Cut(why) => {
                away = None;
                why
            }
            Outcome::Moved(session) => {
                if let Err(circles) = moves.count(Instant::now()) {
                    return Err(range
                        .given_up(reading, Exit::Failure, &circles.to_string())
                        .into());
                }
                away = Some(session);
                if range.tries < TRIES {
                    range.tries += 1;
                    continue;
                }
                "the server sends us elsewhere again and again".to_owned()
            }
            Outcome::Stays => "the server sends us elsewhere in vain".to_owned(),
            Outcome::Refused(failed) => {
                return Err(reading.refused(&range.track.name().to_string(), &failed).into());
            }
        };
        if range.tries == TRIES {
            return Err(range.given_up(reading, Exit::Failure, &why).into());
        }
        tracing::info!(track = %range.track, next = ?range.next, why, "asking for the rest");
        tokio::time::sleep(FIRST_PAUSE * (1 << range.tries)).await;
        range.tries += 1;
    }
}

/// How one FETCH ended.
enum Outcome {
    Whole,
    /// The rest may be had by asking again.
    Cut(String),
    /// The server sent it elsewhere, to this session.
    Moved(Session),
    /// It did, but to no other place or where nobody is: it is to be asked for where it was.
    Stays,
    Refused(RequestFailed),
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The server that the user named.
    Home,
    /// One that it sent us to.
    Other,
}

impl Range {
    async fn read(
        &mut self,
        client: &Client,
        link: &Link,
        format: &Format,
        data: &mut Data,
    ) -> Result<Outcome, Stop> {
        let fetched = client.fetch(self.track.clone(), self.next, self.end, FetchOptions::default());
        let mut fetched = match fetched.await {
            Ok(fetched) => fetched,
            Err(RequestFailed::Elsewhere(goaway)) => {
                return Ok(link.follow(&goaway).await.map_or(Outcome::Stays, Outcome::Moved));
            }
            Err(failed) => return Ok(Outcome::Refused(failed)),
        };
        if !std::mem::replace(&mut self.begun, true) {
            let end = fetched.end();
            self.end = match end.object.checked_sub(1) {
                Some(last) => FetchEnd::Object(Location::new(end.group, last)),
                None => FetchEnd::Group(end.group),
            };
        }
        let mut goaway = fetched.goaway();
        let moving = async {
            match link.follow(&goaway.heard().await).await {
                Some(session) => session,
                // Asked for again without us, if it is to come from here.
                None => std::future::pending().await,
            }
        };
        tokio::pin!(moving);
        // It goes on here until there is another place.
        loop {
            let next = tokio::select! {
                biased;
                session = &mut moving => return Ok(Outcome::Moved(session)),
                next = fetched.next() => next,
            };
            match next {
                Ok(Some(object)) => {
                    self.tries = 0;
                    self.next = after(object.location);
                    if object.status == ObjectStatus::Normal {
                        format.write(&object, data).await?;
                    }
                }
                Ok(None) => {
                    let unknown = fetched.unknown_ranges();
                    if unknown > 0 {
                        tracing::warn!(ranges = unknown, "nobody knows some of the past any more");
                    }
                    return Ok(Outcome::Whole);
                }
                Err(_cut) if self.is_whole() => return Ok(Outcome::Whole),
                Err(cut) => return Ok(Outcome::Cut(cut.to_string())),
            }
        }
    }

    fn refused(&self, failed: RequestFailed, by: By) -> Outcome {
        if by == By::Other {
            return Outcome::Cut(failed.to_string());
        }
        let moves = matches!(failed, RequestFailed::Session(_) | RequestFailed::GoingAway);
        let nothing = failed.code() == Some(RequestErrorCode::INVALID_RANGE);
        match self.end {
            // The last object of the group came before the cut.
            FetchEnd::Group(group) if self.begun && nothing && self.next.group >= group => Outcome::Whole,
            _ if self.begun || moves => Outcome::Cut(failed.to_string()),
            _ => Outcome::Refused(failed),
        }
    }

    fn is_whole(&self) -> bool {
        match self.end {
            FetchEnd::Object(last) => self.next > last,
            FetchEnd::Group(group) => self.next.group > group,
        }
    }

    fn given_up(&self, reading: &Reading, exit: Exit, why: &str) -> Failure {
        let Location { group, object, .. } = self.next;
        let (name, broadcast) = (self.track.name(), reading.name());
        let rest = format!("asked again and again for the rest; --start {group}:{object} goes on there");
        Failure::say(exit, format!("{name} of {broadcast}: {why}; {rest}"))
    }
}

fn after(at: Location) -> Location {
    match at.object.checked_add(1) {
        Some(object) => Location::new(at.group, object),
        None => Location::new(at.group.saturating_add(1), 0),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use headwater_pubsub::net::Clock;
    use headwater_pubsub::wire::control::RequestError;
    use headwater_pubsub::wire::{Properties, TrackName, TrackNamespace};

    use super::*;
    use crate::servers::{NOWHERE, Server};

    /// Groups of one object; a fetch of them all takes a while.
    const GROUPS: u64 = 300;
    const BYTES: usize = 100_000;

    /// Reads all groups, beginning at the first of two servers, which sends the fetch to `uri` meanwhile.
    async fn sent(
        uri: impl FnOnce(&Server) -> String,
        then: impl AsyncFnOnce(&mut Range, Outcome, &mut Data),
    ) {
        let clock = Clock::new();
        let track = Server::start(clock, None).track("t");
        let mut writer = track.writer(clock);
        for group in 0..GROUPS {
            let mut group = writer.group(group).unwrap();
            let payload = Bytes::from(vec![b'x'; BYTES]);
            group.object(Properties::default(), payload).unwrap();
            group.finish().unwrap();
        }
        let [first, second] = [(); 2].map(|()| Server::start(clock, Some(track.clone())));
        let link = first.link(clock);
        let session = link.dial().await.unwrap();
        let mut range = Range {
            track: track.name().clone(),
            next: Location::default(),
            end: FetchEnd::Group(GROUPS - 1),
            begun: false,
            tries: 0,
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("objects");
        let mut data = Data::create(&path).await.unwrap();
        let uri = uri(&second);
        let told = async {
            while !first
                .clients()
                .iter()
                .any(|client| client.send_track_goaway(track.name(), &uri, Duration::ZERO) > 0)
            {
                tokio::task::yield_now().await;
            }
        };
        let format = format();
        let reading = range.read(&session.client, &link, &format, &mut data);
        let (outcome, ()) = tokio::join!(reading, told);
        let Ok(outcome) = outcome else {
            panic!("not written")
        };
        then(&mut range, outcome, &mut data).await;
        assert!(data.flush().await.is_ok());
        let written = std::fs::read(&path).unwrap();
        let lines: Vec<_> = written.split_inclusive(|&byte| byte == b'\n').collect();
        assert_eq!(u64::try_from(lines.len()).unwrap(), GROUPS);
        assert!(lines.iter().all(|line| line.len() == BYTES + 1));
    }

    fn format() -> Format {
        let delimiter = b"\n".to_vec();
        Format::Payload { delimiter }
    }

    #[tokio::test]
    async fn a_range_that_is_sent_elsewhere_goes_on_there() {
        let there = |second: &Server| second.target.url.to_string();
        sent(there, async |range, outcome, data| {
            let Outcome::Moved(away) = outcome else {
                panic!("read to its end")
            };
            assert!(range.next.group < GROUPS);
            let link = Server::start(Clock::new(), None).link(Clock::new());
            let outcome = range.read(&away.client, &link, &format(), data).await;
            assert!(matches!(outcome, Ok(Outcome::Whole)));
        })
        .await;
    }

    #[tokio::test]
    async fn a_range_that_is_sent_where_nobody_is_goes_on() {
        sent(
            |_| NOWHERE.to_owned(),
            async |_, outcome, _| assert!(matches!(outcome, Outcome::Whole)),
        )
        .await;
    }

    #[test]
    fn what_another_server_refuses_may_be_had_at_home() {
        let refusal = |code| {
            RequestFailed::Refused(Box::new(RequestError {
                code,
                retry_after_ms: None,
                reason: String::new(),
                redirect: None,
            }))
        };
        let mut range = Range {
            track: track(),
            next: Location::new(3, 1),
            end: FetchEnd::Group(3),
            begun: false,
            tries: 0,
        };
        let code = RequestErrorCode::UNAUTHORIZED;
        assert!(matches!(
            range.refused(refusal(code), By::Home),
            Outcome::Refused(_)
        ));
        assert!(matches!(range.refused(refusal(code), By::Other), Outcome::Cut(_)));
        range.begun = true;
        let code = RequestErrorCode::INVALID_RANGE;
        assert!(matches!(range.refused(refusal(code), By::Home), Outcome::Whole));
        assert!(matches!(range.refused(refusal(code), By::Other), Outcome::Cut(_)));
    }

    fn track() -> FullTrackName {
        let namespace = TrackNamespace::new(["live"]).unwrap();
        FullTrackName::new(namespace, TrackName::new("cam").unwrap()).unwrap()
    }

    #[test]
    fn a_range_is_whole_behind_its_last_object() {
        let range = |next, end| Range {
            track: track(),
            next,
            end,
            begun: true,
            tries: 0,
        };
        let at = Location::new;
        assert!(!range(at(3, 2), FetchEnd::Object(at(3, 2))).is_whole());
        assert!(range(at(3, 3), FetchEnd::Object(at(3, 2))).is_whole());
        assert!(!range(at(3, 3), FetchEnd::Group(3)).is_whole());
        assert!(range(at(4, 0), FetchEnd::Group(3)).is_whole());
        assert_eq!(after(at(3, u64::MAX)), at(4, 0));
    }
}
