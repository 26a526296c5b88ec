//! A range of the past, read to its end over any number of sessions: each object once.
//!
//! The first answer says where the range ends. What a lost session or a relay that lost its upstream leaves is asked for from
//! the object after the last one, [`TRIES`] times with doubling pauses unless an object comes between.

use std::time::Duration;

use headwater_pubsub::net::{Client, FetchEnd, FetchOptions, RequestFailed};
use headwater_pubsub::wire::data::ObjectStatus;
use headwater_pubsub::wire::{FullTrackName, Location, RequestErrorCode};

use super::super::{Reading, Stop};
use super::Format;
use crate::exit::{Exit, Failure};
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
    loop {
        let session = tokio::time::timeout(SESSION_PATIENCE, current.session()).await;
        let Ok(Some(client)) = session else {
            let lost = format!("lost {}", reading.link.target().place());
            return Err(range.given_up(reading, Exit::Connect, &lost).into());
        };
        let why = match range.read(&client, format, data).await? {
            Outcome::Whole => return Ok(Exit::Ok),
            Outcome::Cut(why) => why,
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
    Refused(RequestFailed),
}

impl Range {
    async fn read(&mut self, client: &Client, format: &Format, data: &mut Data) -> Result<Outcome, Stop> {
        let fetched = client.fetch(self.track.clone(), self.next, self.end, FetchOptions::default());
        let mut fetched = match fetched.await {
            Ok(fetched) => fetched,
            Err(failed) => return Ok(self.refused(failed)),
        };
        if !std::mem::replace(&mut self.begun, true) {
            let end = fetched.end();
            self.end = match end.object.checked_sub(1) {
                Some(last) => FetchEnd::Object(Location::new(end.group, last)),
                None => FetchEnd::Group(end.group),
            };
        }
        loop {
            match fetched.next().await {
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

    fn refused(&self, failed: RequestFailed) -> Outcome {
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
    use headwater_pubsub::wire::{TrackName, TrackNamespace};

    use super::*;

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
