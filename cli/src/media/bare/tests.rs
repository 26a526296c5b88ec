//! What becomes of bare frames: those of hang here, of LOC in `loc`, their times in `times`.

mod loc;
mod times;

use super::*;
use crate::media::mux::{MuxError, Muxer};

const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x1e, 0xd9];
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

fn described(kind: MediaKind, codec: &str) -> Described<'_> {
    let video = kind == MediaKind::Video;
    Described {
        kind,
        codec,
        description: None,
        width: video.then_some(640),
        height: video.then_some(480),
        sample_rate: (!video).then_some(48_000),
        channels: (!video).then_some(1),
    }
}

/// `micros` in four bytes, then the frame.
fn object(micros: u32, frame: &[u8]) -> Bytes {
    let mut out = (micros | 0x8000_0000).to_be_bytes().to_vec();
    out.extend_from_slice(frame);
    out.into()
}

/// Decode time, presentation time, duration and bytes of a sample.
type Written = (u64, u64, u32, Vec<u8>);

/// An object of hang.
fn of_hang(first: bool, payload: &Bytes) -> Object<'_> {
    static NONE: Properties = Properties::empty();
    Object {
        first,
        properties: &NONE,
        payload,
    }
}

/// What a muxer of one such track makes of `objects`, read again: its codec and its samples.
fn written(track: &Described<'_>, objects: &[(bool, Bytes)]) -> (String, Vec<Written>) {
    let (init, framing) = header(track, Time::Front).unwrap();
    let mut muxer = Muxer::new(&[init]).unwrap().framed([Some(framing)]);
    let mut out = muxer.header().unwrap().to_vec();
    for (first, object) in objects {
        out.extend(muxer.take(0, of_hang(*first, object)).unwrap().concat());
    }
    out.extend(muxer.finish().unwrap().concat());
    samples(out)
}

/// The codec and the samples of a file with one track.
fn samples(file: Vec<u8>) -> (String, Vec<Written>) {
    use crate::media::demux::{Event, FileReader};
    let mut reader = FileReader::open(std::io::Cursor::new(file)).unwrap();
    let (mut codec, mut samples) = (String::new(), Vec::new());
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            Event::Tracks(tracks) => codec.clone_from(&tracks[0].codec),
            Event::Sample(sample) => {
                samples.push((sample.dts, sample.pts(), sample.duration, sample.data.to_vec()));
            }
        }
    }
    (codec, samples)
}

#[test]
fn start_codes_become_lengths_and_parameter_sets_stay() {
    let key = [
        &[0, 0, 0, 1],
        SPS,
        &[0, 0, 0, 1],
        PPS,
        &[0, 0, 1, 0x65, 7, 0, 0, 3, 1],
    ]
    .concat();
    let objects = [
        (true, object(100_000, &key)),
        (false, object(133_000, &[0, 0, 0, 1, 0x41, 9])),
        (false, object(166_000, &[0, 0, 1, 0x41, 8])),
    ];
    let (codec, samples) = written(&described(MediaKind::Video, "avc1.42C01E"), &objects);
    assert_eq!(codec, "avc3.42c01e");
    let first = [
        &[0, 0, 0, 5],
        SPS,
        &[0, 0, 0, 4],
        PPS,
        &[0, 0, 0, 6, 0x65, 7, 0, 0, 3, 1],
    ]
    .concat();
    assert_eq!(
        samples,
        [
            (0, 0, 33_000, first),
            (33_000, 33_000, 33_000, vec![0, 0, 0, 2, 0x41, 9]),
            (66_000, 66_000, 33_000, vec![0, 0, 0, 2, 0x41, 8]),
        ]
    );
}

#[test]
fn frames_shown_before_the_one_they_follow_keep_their_place_in_the_picture() {
    let times = [0, 99_000, 33_000, 66_000, 132_000];
    let objects: Vec<_> = times
        .iter()
        .map(|time| (*time == 0, object(*time, &[1])))
        .collect();
    let (codec, samples) = written(&described(MediaKind::Video, "vp8"), &objects);
    assert_eq!(codec, "vp8");
    let shown: Vec<_> = samples.iter().map(|sample| sample.1).collect();
    assert_eq!(shown, times.map(u64::from));
    assert!(
        samples.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "decoded in order: {samples:?}"
    );
}

#[test]
fn sound_counts_in_samples_and_a_mark_without_a_frame_is_none() {
    let objects = [
        (true, object(0, &[0xfc, 1])),
        (true, object(20_000, &[0xfc, 2])),
        (true, object(40_000, &[])),
        (true, object(40_000, &[0xfc, 3])),
    ];
    let (codec, samples) = written(&described(MediaKind::Audio, "opus"), &objects);
    assert_eq!(codec, "opus");
    let times: Vec<_> = samples.iter().map(|sample| (sample.0, sample.2)).collect();
    assert_eq!(times, [(0, 960), (960, 960), (1920, 960)]);
}

#[test]
fn headers_are_made_for_what_browsers_send() {
    let aac = Described {
        description: Some(&[0x11, 0x88]),
        ..described(MediaKind::Audio, "mp4a.40.2")
    };
    let avc = Described {
        description: Some(&[1, 0x42, 0xc0, 0x1e, 0xff, 0xe0, 0]),
        ..described(MediaKind::Video, "avc1.42c01e")
    };
    for (track, codec) in [
        (described(MediaKind::Video, "vp09.00.31.08"), "vp09.00.31.08"),
        (described(MediaKind::Video, "av01.0.08M.08"), "av01.0.08M.08"),
        (described(MediaKind::Video, "hvc1.1.6.L93.b0"), "hev1.1.6.L93.b0"),
        (
            described(MediaKind::Video, "hvc1.A2.4.H150.90.1"),
            "hev1.A2.4.H150.90.1",
        ),
        (aac, "mp4a.40.2"),
        (avc, "avc1.42c01e"),
    ] {
        let (init, _) = header(&track, Time::Front).unwrap();
        assert_eq!(Muxer::new(&[init]).unwrap().tracks()[0].codec, codec);
    }
    let (_, framing) = header(&avc, Time::Front).unwrap();
    assert_eq!(
        framing.units,
        Units::Ready,
        "with a description the frames have lengths already"
    );
}

#[test]
fn what_cannot_be_described_is_said() {
    for (track, words) in [
        (described(MediaKind::Video, "hev1.1.6.L"), "profile"),
        (described(MediaKind::Video, "hev1.AB1.6.L93"), "profile"),
        (described(MediaKind::Video, "avc1"), "profile"),
        (described(MediaKind::Audio, "mp4a.40.2"), "description"),
        (described(MediaKind::Audio, "flac"), "codec"),
        (
            Described {
                channels: Some(6),
                ..described(MediaKind::Audio, "opus")
            },
            "two channels",
        ),
        (
            Described {
                width: Some(70_000),
                ..described(MediaKind::Video, "vp8")
            },
            "size",
        ),
        (
            Described {
                sample_rate: Some(0),
                description: Some(&[0x11, 0x88]),
                ..described(MediaKind::Audio, "mp4a.40.2")
            },
            "rate",
        ),
    ] {
        let why = header(&track, Time::Front).unwrap_err();
        assert!(why.contains(words), "{}: {why}", track.codec);
    }
}

#[test]
fn damaged_objects_are_left_out() {
    let (_, framing) = header(&described(MediaKind::Video, "avc1.42c01e"), Time::Front).unwrap();
    let mut repackager = Repackager::new(framing);
    let mut push = |bytes: &'static [u8]| repackager.push(of_hang(true, &Bytes::from_static(bytes)));
    assert!(matches!(push(&[]), Err(FrameError::NoTime)));
    assert!(matches!(push(&[0xc0, 0, 0]), Err(FrameError::NoTime)));
    assert!(matches!(push(&[0, 5, 6, 7]), Err(FrameError::NoStartCode)));
    assert!(matches!(
        push(&[0, 0, 0, 1, 0, 0, 0]),
        Err(FrameError::NoStartCode)
    ));
    assert!(matches!(push(&[0xff; 12]), Err(FrameError::Time)));
    assert!(matches!(repackager.finish(), Ok(None)));
}

#[test]
fn a_last_frame_that_cannot_be_written_costs_the_other_track_nothing() {
    let tracks = [
        described(MediaKind::Video, "vp8"),
        described(MediaKind::Audio, "opus"),
    ];
    let (inits, framings): (Vec<_>, Vec<_>) = tracks
        .iter()
        .map(|track| header(track, Time::Front).unwrap())
        .unzip();
    // Ends the tracks as `end` does, and gives the first bytes of what is in the file then.
    let run = |end: fn(&mut Muxer) -> Vec<Bytes>| {
        use crate::media::demux::{Event, FileReader};
        let mut muxer = Muxer::new(&inits)
            .unwrap()
            .framed(framings.clone().into_iter().map(Some));
        let mut out = muxer.header().unwrap().to_vec();
        let huge = vec![9; crate::media::demux::MAX_SAMPLE as usize + 1];
        for (track, payload) in [
            (0, object(0, &[1])),
            (0, object(33_000, &huge)),
            (1, object(0, &[2])),
            (1, object(20_000, &[3])),
            (1, object(40_000, &[4])),
        ] {
            out.extend(muxer.take(track, of_hang(true, &payload)).unwrap().concat());
        }
        out.extend(end(&mut muxer).concat());
        let mut reader = FileReader::open(std::io::Cursor::new(out)).unwrap();
        let mut bytes = Vec::new();
        while let Some(event) = reader.next_event().unwrap() {
            if let Event::Sample(sample) = event {
                bytes.push(sample.data[0]);
            }
        }
        (bytes, muxer.dropped())
    };
    let whole = (vec![1, 2, 3, 4], 1);
    assert_eq!(run(|muxer| muxer.finish().unwrap()), whole);
    let one_by_one = run(|muxer| [muxer.end_track(0).unwrap(), muxer.end_track(1).unwrap()].concat());
    assert_eq!(one_by_one, whole);
}

#[test]
fn a_time_counts_if_a_neighbour_agrees_with_it() {
    let track = described(MediaKind::Audio, "opus");
    let wild = |frame| {
        // Fifty years on, in eight bytes.
        let micros: u64 = 50 * 365 * 86_400 * 1_000_000;
        let mut out = (micros | 0xc000_0000_0000_0000).to_be_bytes().to_vec();
        out.push(frame);
        Bytes::from(out)
    };
    let run = |objects: &[Bytes]| {
        let (init, framing) = header(&track, Time::Front).unwrap();
        let mut muxer = Muxer::new(&[init]).unwrap().framed([Some(framing)]);
        let mut out = muxer.header().unwrap().to_vec();
        let mut astray = 0;
        for object in objects {
            match muxer.take(0, of_hang(true, object)) {
                Ok(fragments) => out.extend(fragments.concat()),
                Err(MuxError::Frame {
                    source: FrameError::Astray,
                    ..
                }) => astray += 1,
                Err(error) => panic!("{error}"),
            }
        }
        out.extend(muxer.finish().unwrap().concat());
        let bytes: Vec<_> = samples(out)
            .1
            .into_iter()
            .map(|sample| (sample.0, sample.3[0]))
            .collect();
        (bytes, astray + muxer.dropped())
    };
    let sane = |n: u8| object(1_000_000 + u32::from(n) * 20_000, &[n]);
    let all = vec![(0, 0), (960, 1), (1920, 2), (2880, 3)];
    assert_eq!(
        run(&[sane(0), sane(1), wild(9), sane(2), sane(3)]),
        (all.clone(), 1)
    );
    assert_eq!(
        run(&[wild(9), sane(0), sane(1), sane(2), sane(3)]),
        (all.clone(), 1)
    );
    assert_eq!(
        run(&[sane(0), wild(9), sane(1), sane(2), sane(3)]),
        (all.clone(), 1)
    );
    assert_eq!(run(&[sane(0), sane(1), sane(2), sane(3), wild(9)]), (all, 1));
    // Started over, and gone on after a long pause: nothing is lost.
    let back = |n: u8| object(u32::from(n) * 20_000, &[n]);
    let forth = |n: u8| object(900_000_000 + u32::from(n) * 20_000, &[n]);
    let far = |n: u8| object(60_000_000 + u32::from(n) * 20_000, &[n]);
    let (samples, lost) = run(&[far(0), far(1), back(2), back(3), forth(4), forth(5)]);
    assert_eq!(lost, 0);
    assert_eq!(
        samples.iter().map(|sample| sample.1).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 5]
    );
    assert!(
        samples.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "{samples:?}"
    );
}
