//! The objects of one track: payloads as they are, or a JSON line for each.

mod past;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_pubsub::net::{FetchEnd, ReceivedObject};
use headwater_pubsub::wire::{FullTrackName, Location};

use super::{Reading, Stop};
use crate::args::SubscribeArgs;
use crate::exit::{Exit, Failure};
use crate::feed::{Event, Feed};
use crate::output::Data;

/// How an object is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// The payload, and this after it.
    Payload { delimiter: Vec<u8> },
    /// A JSON line.
    Json,
}

/// What is asked for besides the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    start: Option<Location>,
    end: Option<FetchEnd>,
}

impl Format {
    pub(super) fn of(args: &SubscribeArgs) -> Result<Self, Failure> {
        if args.json {
            return Ok(Self::Json);
        }
        let delimiter = match &args.delimiter {
            Some(text) => unescape(text).ok_or_else(|| {
                Failure::say(
                    Exit::Usage,
                    format!("--delimiter {text:?}: only \\n, \\r, \\t, \\0 and \\\\ are understood"),
                )
            })?,
            None if args.lines => b"\n".to_vec(),
            None => Vec::new(),
        };
        Ok(Self::Payload { delimiter })
    }

    async fn write(&self, object: &ReceivedObject, data: &mut Data) -> Result<(), Stop> {
        match self {
            Self::Payload { delimiter } => {
                data.write(&object.payload).await?;
                data.write(delimiter).await?;
            }
            Self::Json => {
                let line = serde_json::json!({
                    "group": object.location.group,
                    "subgroup": object.subgroup,
                    "object": object.location.object,
                    "size": object.payload.len(),
                    "payload": STANDARD.encode(&object.payload),
                });
                data.write(format!("{line}\n").as_bytes()).await?;
            }
        }
        Ok(data.flush().await?)
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'0' => 0,
                b'\\' => b'\\',
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(bytes)
}

impl Range {
    pub(super) fn of(args: &SubscribeArgs) -> Result<Self, Failure> {
        let place = |flag: &str, text: &Option<String>| -> Result<Option<(u64, Option<u64>)>, Failure> {
            let Some(text) = text else { return Ok(None) };
            let parsed = match text.split_once(':') {
                Some((group, object)) => group
                    .parse()
                    .ok()
                    .zip(object.parse().ok())
                    .map(|(group, object)| (group, Some(object))),
                None => text.parse().ok().map(|group| (group, None)),
            };
            let wrong = || {
                Failure::say(
                    Exit::Usage,
                    format!("{flag} {text:?}: write it as GROUP or GROUP:OBJECT, two numbers"),
                )
            };
            parsed.ok_or_else(wrong).map(Some)
        };
        let start =
            place("--start", &args.start)?.map(|(group, object)| Location::new(group, object.unwrap_or(0)));
        let end = place("--end", &args.end)?.map(|(group, object)| match object {
            Some(object) => FetchEnd::Object(Location::new(group, object)),
            None => FetchEnd::Group(group),
        });
        let first = start.unwrap_or_default();
        let backwards = match end {
            Some(FetchEnd::Object(last)) => last < first,
            Some(FetchEnd::Group(group)) => group < first.group,
            None => false,
        };
        if backwards {
            return Err(Failure::say(Exit::Usage, "--end lies before --start"));
        }
        Ok(Self { start, end })
    }
}

pub(super) async fn run(
    reading: &Reading,
    name: &str,
    range: &Range,
    format: &Format,
    data: &mut Data,
) -> Result<Exit, Stop> {
    let track = reading
        .link
        .target()
        .track(name)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    tokio::select! {
        done = async {
            match range.end {
                Some(end) => {
                    let start = range.start.unwrap_or_default();
                    past::run(reading, track, start, end, format, data).await
                }
                None => present(reading, track, range.start, format, data).await,
            }
        } => done,
        // An object is written whole or not begun: what a cancelled write left is in the hands of the writer's thread.
        () = reading.signals.stop.cancelled() => Ok(Exit::Interrupted),
    }
}

/// Everything from the newest group (or `start`) on, until the track ends.
async fn present(
    reading: &Reading,
    track: FullTrackName,
    start: Option<Location>,
    format: &Format,
    data: &mut Data,
) -> Result<Exit, Stop> {
    let name = track.name().to_string();
    let feed = Feed::new(track, reading.absent);
    let mut feeds = reading.spawn(vec![match start {
        Some(start) => feed.from(start),
        None => feed,
    }]);
    while let Some((_, event)) = feeds.next().await {
        match event {
            Event::Object(object) => format.write(&object, data).await?,
            Event::Waiting => reading
                .console
                .note(format!("waiting for {name} of {}", reading.name())),
            Event::Found => {}
            Event::Ended => break,
            Event::Refused(failed) => return Err(reading.refused(&name, &failed).into()),
        }
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    fn args(flags: &str) -> SubscribeArgs {
        let line = format!("moq subscribe moqt://h/x --track t {flags}");
        match Args::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Subscribe(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ranges_are_groups_or_objects() {
        let range = |flags: &str| Range::of(&args(flags)).map_err(|failure| failure.to_string());
        let at = Location::new;
        assert_eq!(
            range("").unwrap(),
            Range {
                start: None,
                end: None
            }
        );
        assert_eq!(
            range("--start 3 --end 5").unwrap(),
            Range {
                start: Some(at(3, 0)),
                end: Some(FetchEnd::Group(5))
            }
        );
        assert_eq!(
            range("--start 3:4 --end 3:4").unwrap(),
            Range {
                start: Some(at(3, 4)),
                end: Some(FetchEnd::Object(at(3, 4)))
            }
        );
        assert!(range("--start x").unwrap_err().contains("GROUP:OBJECT"));
        assert!(range("--start 5 --end 4").unwrap_err().contains("before"));
    }

    #[test]
    fn delimiters_are_unescaped() {
        let format = |flags: &str| Format::of(&args(flags)).map_err(|failure| failure.to_string());
        let payload = |delimiter: &[u8]| Format::Payload {
            delimiter: delimiter.to_vec(),
        };
        assert_eq!(format("").unwrap(), payload(b""));
        assert_eq!(format("--lines").unwrap(), payload(b"\n"));
        assert_eq!(format(r"--delimiter a\0\\").unwrap(), payload(b"a\0\\"));
        assert_eq!(format("--json").unwrap(), Format::Json);
        assert!(format(r"--delimiter \x").is_err());
    }
}
