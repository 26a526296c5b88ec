use std::sync::Arc;

use bytes::Bytes;
use clap::Parser as _;
use headwater_pubsub::net::{Clock, PublishedTrack};
use headwater_pubsub::wire::Properties;
use headwater_pubsub::wire::property::kind;

use super::*;
use crate::args::{Args, Command};
use crate::feed::{Absent, Keeper};
use crate::media::demux::{self, FileReader};
use crate::output::Console;
use crate::servers::Server;
use crate::signal::Signals;

fn catalog() -> Catalog {
    let track = |name: &str, kind| CatalogTrack {
        name: name.into(),
        kind,
        codec: String::new(),
        init: Bytes::new(),
        framing: None,
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

fn args(flags: &str) -> SubscribeArgs {
    let line = format!("moq subscribe moqt://h/x {flags}");
    let Command::Subscribe(args) = Args::try_parse_from(line.split_whitespace()).unwrap().command else {
        panic!("another command")
    };
    args
}

fn chosen(flags: &str) -> Result<Vec<String>, String> {
    let args = args(flags);
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

/// Writes a track of one group, and ends it.
fn write(track: &PublishedTrack, clock: Clock, objects: impl IntoIterator<Item = (Properties, Bytes)>) {
    let mut writer = track.writer(clock);
    let mut group = writer.group(7).unwrap();
    for (properties, payload) in objects {
        group.object(properties, payload).unwrap();
    }
    group.finish().unwrap();
    writer.end_track();
}

fn loc(micros: u64) -> Properties {
    Properties::builder()
        .int(kind::LOC_TIMESTAMP, micros)
        .build()
        .unwrap()
}

#[tokio::test]
async fn loc_is_written_and_what_is_damaged_of_it_left_out() {
    let clock = Clock::new();
    let origin = Server::start(clock, None);
    let tracks = [MSF_TRACK, "v", "a"].map(|name| origin.track(name));
    let catalog = r#"{ "version": "draft-01", "tracks": [
        { "name": "v", "packaging": "loc", "role": "video", "codec": "vp8", "width": 64, "height": 48 },
        { "name": "a", "packaging": "loc", "role": "audio", "codec": "opus", "channelConfig": "1" }] }"#;
    write(&tracks[0], clock, [(Properties::empty(), catalog.into())]);
    let frames = [
        (loc(1_000_000), "a"),
        (Properties::empty(), "b"),
        (loc(u64::MAX), "c"),
        (loc(1_033_000), "d"),
    ];
    write(
        &tracks[1],
        clock,
        frames.map(|(properties, byte)| (properties, byte.into())),
    );
    let frames = [
        (loc(1_000_000), "e"),
        (loc(1_020_000), "f"),
        (loc(1_040_000), "g"),
    ];
    write(
        &tracks[2],
        clock,
        frames.map(|(properties, byte)| (properties, byte.into())),
    );

    let server = Server::start(clock, tracks);
    let (link, console) = (Arc::new(server.link(clock)), Arc::new(Console::new(true)));
    let session = link.dial().await.unwrap();
    let reading = Reading {
        keeper: Keeper::new(link.clone(), session, console.clone()),
        absent: Absent::Wait,
        link,
        console,
        signals: Signals::default(),
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.mp4");
    let mut data = Data::create(&path).await.unwrap();
    let Ok(exit) = run(&reading, &args(""), &mut data).await else {
        panic!("it could not be read")
    };
    assert_eq!(exit, Exit::Ok);
    data.flush()
        .await
        .unwrap_or_else(|_| panic!("it could not be written"));
    reading.keeper.close().await;

    let mut reader = FileReader::open(std::fs::File::open(&path).unwrap()).unwrap();
    let (mut codecs, mut samples) = (Vec::new(), [Vec::new(), Vec::new()]);
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            demux::Event::Tracks(tracks) => codecs = tracks.into_iter().map(|track| track.codec).collect(),
            demux::Event::Sample(sample) => samples[sample.track].push((sample.dts, sample.data)),
        }
    }
    assert_eq!(codecs, ["vp8", "opus"]);
    assert_eq!(samples[0], [(0, "a".into()), (33_000, "d".into())]);
    assert_eq!(
        samples[1],
        [(0, "e".into()), (960, "f".into()), (1920, "g".into())]
    );
}
