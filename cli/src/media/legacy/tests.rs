use super::*;
use crate::media::mux::Muxer;

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

/// What a muxer of one such track makes of `objects`, read again: its codec and its samples.
fn written(track: &Described<'_>, objects: &[(bool, Bytes)]) -> (String, Vec<Written>) {
    use crate::media::demux::{Event, FileReader};
    let (init, framing) = header(track).unwrap();
    let mut muxer = Muxer::new(&[init]).unwrap().framed([Some(framing)]);
    let mut out = muxer.header().unwrap().to_vec();
    for (first, object) in objects {
        out.extend(muxer.take(0, *first, object).unwrap().concat());
    }
    out.extend(muxer.finish().unwrap().concat());
    let mut reader = FileReader::open(std::io::Cursor::new(out)).unwrap();
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
        (aac, "mp4a.40.2"),
        (avc, "avc1.42c01e"),
    ] {
        let (init, _) = header(&track).unwrap();
        assert_eq!(Muxer::new(&[init]).unwrap().tracks()[0].codec, codec);
    }
    let (_, framing) = header(&avc).unwrap();
    assert!(
        !framing.start_codes,
        "with a description the frames have lengths already"
    );
}

#[test]
fn what_cannot_be_described_is_said() {
    for (track, words) in [
        (described(MediaKind::Video, "hev1.1.6.L93.B0"), "codec"),
        (described(MediaKind::Video, "avc1"), "profile"),
        (described(MediaKind::Audio, "mp4a.40.2"), "description"),
        (described(MediaKind::Audio, "flac"), "codec"),
        (
            Described {
                channels: Some(6),
                ..described(MediaKind::Audio, "opus")
            },
            "codec",
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
        let why = header(&track).unwrap_err();
        assert!(why.contains(words), "{}: {why}", track.codec);
    }
}

#[test]
fn damaged_objects_are_left_out() {
    let (_, framing) = header(&described(MediaKind::Video, "avc1.42c01e")).unwrap();
    let mut repackager = Repackager::new(framing);
    let mut push = |bytes: &'static [u8]| repackager.push(true, &Bytes::from_static(bytes));
    assert!(matches!(push(&[]), Err(LegacyError::NoTime)));
    assert!(matches!(push(&[0xc0, 0, 0]), Err(LegacyError::NoTime)));
    assert!(matches!(push(&[0, 5, 6, 7]), Err(LegacyError::NoStartCode)));
    assert!(matches!(
        push(&[0, 0, 0, 1, 0, 0, 0]),
        Err(LegacyError::NoStartCode)
    ));
    assert!(push(&[0xff; 12]).is_err());
    assert!(matches!(repackager.finish(), Ok(None)));
}
