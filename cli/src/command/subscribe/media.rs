//! Audio and video as one fragmented MP4.

use std::time::Duration;

use tokio::time::Instant;

use super::{Feeds, Reading, Stop};
use crate::args::SubscribeArgs;
use crate::exit::{Exit, Failure};
use crate::feed::Event;
use crate::media::MediaKind;
use crate::media::catalog::{Catalog, CatalogTrack, HANG_TRACK, MSF_TRACK};
use crate::media::mux::{MuxError, Muxer};
use crate::output::Data;

/// How long the MSF catalog may come after the hang catalog and still be preferred.
const CATALOG_GRACE: Duration = Duration::from_millis(300);
const MSF: usize = 0;

pub(super) async fn run(reading: &Reading, args: &SubscribeArgs, data: &mut Data) -> Result<Exit, Stop> {
    let stopped = reading.signals.stop.cancelled();
    let catalog = tokio::select! {
        catalog = find_catalog(reading) => catalog?,
        () = stopped => return Ok(Exit::Interrupted),
    };
    for skipped in &catalog.skipped {
        reading.console.note(format!("passed over: {skipped}"));
    }
    let tracks = choose(&catalog, args).map_err(|failure| failure.context(reading.name()))?;
    for track in &tracks {
        reading
            .console
            .note(format!("{} {} ({})", track.kind, track.name, track.codec));
    }
    let inits: Vec<_> = tracks.iter().map(|track| track.init.clone()).collect();
    let mut muxer = Muxer::new(&inits).map_err(input)?;
    data.write(&muxer.header().map_err(input)?).await?;
    data.flush().await?;
    let mut feeds = reading.feeds(tracks.iter().map(|track| track.name.as_str()))?;
    let done = copy(reading, &tracks, &mut feeds, &mut muxer, data).await;
    if !matches!(done, Err(Stop::ReaderGone)) {
        for fragment in muxer.finish().map_err(input)? {
            data.write(&fragment).await?;
        }
    }
    done
}

fn input(error: MuxError) -> Stop {
    Stop::Failed(Failure::new(Exit::Input, error))
}

/// Writes objects until all tracks have ended or the user has seen enough.
async fn copy(
    reading: &Reading,
    tracks: &[&CatalogTrack],
    feeds: &mut Feeds,
    muxer: &mut Muxer,
    data: &mut Data,
) -> Result<Exit, Stop> {
    let mut live = tracks.len();
    while live > 0 {
        let event = tokio::select! {
            event = feeds.next() => event,
            () = reading.signals.stop.cancelled() => return Ok(Exit::Interrupted),
        };
        let Some((index, event)) = event else { break };
        let name = tracks
            .get(index)
            .map(|track| track.name.as_str())
            .unwrap_or_default();
        let fragments = match event {
            Event::Object(object) => match muxer.push(index, &object.payload) {
                Err(error @ MuxError::Object { .. }) => {
                    tracing::warn!(track = name, at = ?object.location, %error, "object passed over");
                    continue;
                }
                fragments => fragments,
            },
            Event::Ended => {
                live -= 1;
                muxer.end_track(index)
            }
            Event::Refused(failed) => return Err(reading.refused(name, &failed).into()),
            Event::Waiting => {
                reading
                    .console
                    .note(format!("waiting for {name} of {}", reading.name()));
                continue;
            }
            Event::Found => continue,
        };
        for fragment in fragments.map_err(input)? {
            data.write(&fragment).await?;
        }
        data.flush().await?;
    }
    Ok(Exit::Ok)
}

/// Reads both catalogs until one of them tells of tracks.
async fn find_catalog(reading: &Reading) -> Result<Catalog, Stop> {
    let mut feeds = reading.feeds([MSF_TRACK, HANG_TRACK])?;
    let mut hang: Option<(Catalog, Instant)> = None;
    let mut problem: Option<Failure> = None;
    let mut left = 2;
    let mut waiting = false;
    while left > 0 {
        let grace = async {
            match &hang {
                Some((_, until)) => tokio::time::sleep_until(*until).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            event = feeds.next() => event,
            () = grace => break,
        };
        let Some((index, event)) = event else { break };
        match event {
            Event::Object(object) => {
                let parsed = if index == MSF {
                    Catalog::parse_msf(&object.payload)
                } else {
                    Catalog::parse_hang(&object.payload)
                };
                match parsed {
                    Ok(catalog) if index == MSF => return Ok(catalog),
                    Ok(catalog) => {
                        hang.get_or_insert_with(|| (catalog, Instant::now() + CATALOG_GRACE));
                    }
                    // Another one follows when the broadcast changes.
                    Err(error) => {
                        let failure = Failure::new(Exit::Input, error).context(reading.name());
                        reading
                            .console
                            .note(format!("{failure}; waiting for another catalog"));
                        problem = Some(failure);
                    }
                }
            }
            Event::Waiting if !waiting => {
                waiting = true;
                reading.console.note(format!("waiting for {}", reading.name()));
            }
            Event::Waiting | Event::Found => {}
            Event::Ended => left -= 1,
            Event::Refused(failed) => {
                left -= 1;
                problem.get_or_insert_with(|| reading.refused("the catalog", &failed));
            }
        }
    }
    if let Some((catalog, _)) = hang {
        return Ok(catalog);
    }
    let nothing = || {
        Failure::say(
            Exit::Refused,
            format!("{} ended without a catalog", reading.name()),
        )
    };
    Err(Stop::Failed(problem.unwrap_or_else(nothing)))
}

/// The tracks to write: the ones asked for, else the first of each kind.
fn choose<'a>(catalog: &'a Catalog, args: &SubscribeArgs) -> Result<Vec<&'a CatalogTrack>, Failure> {
    let mut chosen = Vec::new();
    for (kind, name, without) in [
        (MediaKind::Video, &args.video, args.no_video),
        (MediaKind::Audio, &args.audio, args.no_audio),
    ] {
        if without {
            continue;
        }
        let mut tracks = catalog.tracks.iter().filter(|track| track.kind == kind);
        let Some(name) = name else {
            chosen.extend(tracks.next());
            continue;
        };
        match tracks.find(|track| track.name == *name) {
            Some(track) => chosen.push(track),
            None => {
                return Err(Failure::say(
                    Exit::Refused,
                    format!("no {kind} track {name:?}; {}", names(catalog)),
                ));
            }
        }
    }
    if chosen.is_empty() {
        return Err(Failure::say(
            Exit::Refused,
            format!("none of the tracks is wanted; {}", names(catalog)),
        ));
    }
    Ok(chosen)
}

fn names(catalog: &Catalog) -> String {
    let names: Vec<_> = catalog
        .tracks
        .iter()
        .map(|track| format!("{} {}", track.kind, track.name))
        .collect();
    format!("the broadcast has: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    fn catalog() -> Catalog {
        let track = |name: &str, kind| CatalogTrack {
            name: name.into(),
            kind,
            codec: String::new(),
            init: bytes::Bytes::new(),
            width: None,
            height: None,
            framerate: None,
            sample_rate: None,
            channels: None,
            bitrate: None,
            language: None,
        };
        Catalog {
            tracks: vec![
                track("hd", MediaKind::Video),
                track("sd", MediaKind::Video),
                track("de", MediaKind::Audio),
                track("en", MediaKind::Audio),
            ],
            skipped: Vec::new(),
        }
    }

    fn chosen(flags: &str) -> Result<Vec<String>, String> {
        let line = format!("moq subscribe moqt://h/x {flags}");
        let Command::Subscribe(args) = Args::try_parse_from(line.split_whitespace()).unwrap().command else {
            panic!("another command")
        };
        let catalog = catalog();
        let tracks = choose(&catalog, &args).map_err(|failure| failure.to_string())?;
        Ok(tracks.iter().map(|track| track.name.clone()).collect())
    }

    #[test]
    fn the_first_of_each_kind_unless_asked() {
        assert_eq!(chosen("").unwrap(), ["hd", "de"]);
        assert_eq!(chosen("--video sd --audio en").unwrap(), ["sd", "en"]);
        assert_eq!(chosen("--no-audio").unwrap(), ["hd"]);
        assert_eq!(chosen("--no-video --audio en").unwrap(), ["en"]);
    }

    #[test]
    fn a_missing_track_is_told_with_those_that_are_there() {
        let error = chosen("--video de").unwrap_err();
        assert_eq!(
            error,
            "no video track \"de\"; the broadcast has: video hd, video sd, audio de, audio en"
        );
    }
}
