//! Whole ways through this folder, on vectors made by ffmpeg.

mod catalogs;
mod hostile;
mod timing;

use std::io::Cursor;

use bytes::Bytes;

use super::catalog::Catalog;
use super::demux::{DemuxError, Demuxer, Event, FileReader};
use super::mux::Muxer;
use super::package::{Packager, PackagerConfig, Packet};
use super::testdata::{AAC, ALL, AV1_OPUS, GOP, HEVC, LIVE, MOOV_AT_END, PROGRESSIVE, VP9_OPUS};
use super::{MediaKind, Sample, TrackInfo};

type Read = (Vec<TrackInfo>, Vec<Sample>);

fn sort(events: Vec<Event>) -> Read {
    let mut tracks = Vec::new();
    let mut samples = Vec::new();
    for event in events {
        match event {
            Event::Tracks(found) => tracks = found,
            Event::Sample(sample) => samples.push(sample),
        }
    }
    (tracks, samples)
}

fn stream(chunks: impl IntoIterator<Item = Bytes>) -> Result<Read, DemuxError> {
    let mut demuxer = Demuxer::new();
    let mut events = Vec::new();
    for chunk in chunks {
        demuxer.push(chunk);
        while let Some(event) = demuxer.next_event()? {
            events.push(event);
        }
    }
    demuxer.finish()?;
    Ok(sort(events))
}

fn file(bytes: &[u8]) -> Result<Read, DemuxError> {
    let mut reader = FileReader::open(Cursor::new(bytes))?;
    let mut events = Vec::new();
    while let Some(event) = reader.next_event()? {
        events.push(event);
    }
    Ok(sort(events))
}

fn package(tracks: &[TrackInfo], samples: &[Sample]) -> Vec<Packet> {
    let mut packager = Packager::new(tracks, PackagerConfig::default());
    let mut packets: Vec<_> = samples
        .iter()
        .flat_map(|sample| packager.push(sample.clone()).expect("packages"))
        .collect();
    packets.extend(packager.finish().expect("finishes"));
    packets
}

fn mux(tracks: &[TrackInfo], packets: &[Packet]) -> Vec<u8> {
    let catalog = Catalog::of(tracks).expect("writes headers");
    let inits: Vec<_> = catalog.tracks.iter().map(|track| track.init.clone()).collect();
    let mut muxer = Muxer::new(&inits).expect("reads our headers");
    let mut out = muxer.header().expect("writes a header").to_vec();
    for packet in packets {
        for fragment in muxer
            .push(packet.track, &packet.payload)
            .expect("takes our objects")
        {
            out.extend_from_slice(&fragment);
        }
    }
    for fragment in muxer.finish().expect("finishes") {
        out.extend_from_slice(&fragment);
    }
    assert_eq!(muxer.dropped(), 0, "nothing is left out of a whole stream");
    out
}

fn of_track(samples: &[Sample], track: usize) -> Vec<Sample> {
    samples
        .iter()
        .filter(|sample| sample.track == track)
        .cloned()
        .collect()
}

/// The samples of a track with times counted from its first.
fn relative(samples: &[Sample], track: usize) -> Vec<Sample> {
    let mut samples = of_track(samples, track);
    let first = samples.first().map_or(0, |sample| sample.dts);
    samples.iter_mut().for_each(|sample| sample.dts -= first);
    samples
}

#[test]
fn every_vector_survives_package_and_mux() {
    for (name, bytes) in ALL {
        let (tracks, samples) = file(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let packets = package(&tracks, &samples);
        let written = mux(&tracks, &packets);
        let (again, result) = file(&written).unwrap_or_else(|error| panic!("{name} written: {error}"));
        assert_eq!(tracks.len(), again.len(), "{name}");
        for (index, (before, after)) in tracks.iter().zip(&again).enumerate() {
            assert_eq!(before.codec, after.codec, "{name}");
            assert_eq!(
                before.sample_entry, after.sample_entry,
                "{name}: the sample entry is kept byte for byte"
            );
            assert_eq!(before.timescale, after.timescale, "{name}");
            assert_eq!(
                relative(&samples, index),
                relative(&result, index),
                "{name} track {index}"
            );
        }
    }
}

#[test]
fn codec_strings_and_formats_are_those_of_the_encoder() {
    let codecs = |bytes| {
        file(bytes)
            .unwrap()
            .0
            .into_iter()
            .map(|track| track.codec)
            .collect::<Vec<_>>()
    };
    assert_eq!(codecs(PROGRESSIVE), ["avc1.64000c", "mp4a.40.2"]);
    assert_eq!(codecs(VP9_OPUS), ["vp09.00.10.08", "opus"]);
    assert_eq!(codecs(AV1_OPUS), ["av01.0.00M.08", "opus"]);
    assert_eq!(codecs(HEVC), ["hvc1.1.6.L30.90"]);
    let (tracks, _) = file(PROGRESSIVE).unwrap();
    let [video, audio] = tracks.as_slice() else {
        panic!("two tracks")
    };
    assert_eq!(
        (video.width, video.height, video.framerate),
        (Some(160), Some(90), Some(15.0))
    );
    assert_eq!((audio.sample_rate, audio.channels), (Some(44_100), Some(1)));
    assert_eq!((video.kind, audio.kind), (MediaKind::Video, MediaKind::Audio));
    assert!(video.bitrate.is_some() && audio.bitrate.is_some());
}

/// What a browser sends of VP8: ffmpeg's MP4 has no name for it, and its sample entry differs from that of VP9 in that name.
fn vp8() -> Vec<u8> {
    let mut bytes = VP9_OPUS.to_vec();
    let at = bytes.windows(4).position(|name| name == b"vp09").unwrap();
    bytes[at..at + 4].copy_from_slice(b"vp08");
    bytes
}

#[test]
fn vp8_is_carried_under_the_name_that_browsers_know() {
    let (tracks, samples) = file(&vp8()).unwrap();
    assert_eq!(tracks[0].codec, "vp8");
    assert_eq!((tracks[0].width, tracks[0].height), (Some(160), Some(90)));
    let catalog = Catalog::of(&tracks).unwrap();
    for read in [
        Catalog::parse_msf(&catalog.to_msf()),
        Catalog::parse_hang(&catalog.to_hang()),
    ] {
        assert_eq!(read.unwrap(), catalog);
    }
    let written = mux(&tracks, &package(&tracks, &samples));
    let (again, result) = file(&written).unwrap();
    assert_eq!(again[0].codec, "vp8");
    assert_eq!(again[0].sample_entry, tracks[0].sample_entry);
    assert_eq!(relative(&result, 0), relative(&samples, 0));
}

#[test]
fn frames_keyframes_and_reordering_are_read_from_every_layout() {
    for bytes in [PROGRESSIVE, MOOV_AT_END, LIVE, GOP, HEVC] {
        let (_, samples) = file(bytes).unwrap();
        let video = of_track(&samples, 0);
        assert_eq!(video.len(), 30);
        let keys: Vec<_> = video
            .iter()
            .enumerate()
            .filter(|(_, s)| s.keyframe)
            .map(|(i, _)| i)
            .collect();
        assert_eq!(keys.len(), 2, "a keyframe each second");
        assert_eq!(keys[0], 0);
        let mut times: Vec<_> = video.iter().map(Sample::pts).collect();
        times.sort_unstable();
        // Without an edit list ffmpeg stretches the first frame of LIVE by the encoder delay of the sound.
        let steps: Vec<_> = times.windows(2).skip(1).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            steps.iter().all(|step| *step == steps[0]),
            "an even frame rate: {times:?}"
        );
    }
    assert!(
        of_track(&file(PROGRESSIVE).unwrap().1, 0)
            .iter()
            .any(|sample| sample.offset != 0),
        "has B-frames"
    );
}

#[test]
fn the_edit_list_keeps_sound_and_picture_in_step() {
    // ffmpeg hides two frames of reordering delay in video and one frame of encoder delay in audio.
    let (tracks, samples) = file(PROGRESSIVE).unwrap();
    let first_pts = |track: usize| {
        let pts = of_track(&samples, track).iter().map(Sample::pts).min().unwrap();
        i64::try_from(tracks[track].micros(pts)).unwrap()
    };
    let encoder_delay = 1024 * 1_000_000 / 44_100;
    assert!(
        (first_pts(0) - first_pts(1) - encoder_delay).abs() < 100,
        "{} {}",
        first_pts(0),
        first_pts(1)
    );
    assert_eq!(samples.iter().map(|sample| sample.dts).min(), Some(0));
}

#[test]
fn a_pipe_gives_the_samples_of_the_file() {
    for bytes in [PROGRESSIVE, LIVE, GOP, VP9_OPUS, AV1_OPUS, HEVC] {
        let (tracks, samples) = stream([Bytes::from_static(bytes)]).unwrap();
        let (expected_tracks, expected) = file(bytes).unwrap();
        assert_eq!(tracks, expected_tracks);
        for index in 0..tracks.len() {
            assert_eq!(of_track(&samples, index), of_track(&expected, index));
        }
    }
}

#[test]
fn a_rewound_file_gives_the_same_again() {
    for bytes in [MOOV_AT_END, LIVE] {
        let mut reader = FileReader::open(Cursor::new(bytes)).unwrap();
        let mut passes = Vec::new();
        for _pass in 0..2 {
            passes.push(sort(
                std::iter::from_fn(|| reader.next_event().unwrap()).collect(),
            ));
            reader.rewind().unwrap();
        }
        assert_eq!(passes[0].1, passes[1].1);
        assert!(
            !passes[0].0.is_empty() && passes[1].0.is_empty(),
            "tracks are announced once"
        );
    }
}
