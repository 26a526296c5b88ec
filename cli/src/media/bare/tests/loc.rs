//! LOC: one frame in each object, its time and its decoder's configuration among the properties.

use headwater_pubsub::wire::property::kind;
use proptest::prelude::*;

use super::*;

const MICROS: Time = Time::Property {
    per_second: 1_000_000,
};

/// An object as received; `true`: it begins a group.
type Received = (bool, Properties, Bytes);

fn at(micros: u64) -> Properties {
    Properties::builder()
        .int(kind::LOC_TIMESTAMP, micros)
        .build()
        .unwrap()
}

fn with_config(micros: u64, config: &[u8]) -> Properties {
    Properties::builder()
        .int(kind::LOC_TIMESTAMP, micros)
        .int(kind::LOC_TIMESCALE, 1_000_000)
        .bytes(kind::LOC_VIDEO_CONFIG, config.to_vec())
        .build()
        .unwrap()
}

/// A configuration record with `SPS` and `PPS`; frames have lengths of `length` bytes.
fn record(length: u8) -> Vec<u8> {
    let sets: [&[u8]; 4] = [&[0xe1, 0, 5], SPS, &[1, 0, 4], PPS];
    [
        &[1, 0x42, 0xc0, 0x1e, 0xfc | (length - 1)],
        sets.concat().as_slice(),
    ]
    .concat()
}

/// The parameter sets of `record`, as they stand in a frame.
fn sets() -> Vec<u8> {
    [&[0, 0, 0, 5], SPS, &[0, 0, 0, 4], PPS].concat()
}

/// What becomes of `objects`, and why some of them were left out.
fn run(track: &Described<'_>, time: Time, objects: &[Received]) -> (String, Vec<Written>, Vec<String>) {
    let (init, framing) = header(track, time).unwrap();
    let mut muxer = Muxer::new(&[init]).unwrap().framed([Some(framing)]);
    let mut out = muxer.header().unwrap().to_vec();
    let mut errors = Vec::new();
    for (first, properties, payload) in objects {
        let object = Object {
            first: *first,
            properties,
            payload,
        };
        match muxer.take(0, object) {
            Ok(fragments) => out.extend(fragments.concat()),
            Err(MuxError::Frame { source, .. }) => errors.push(source.to_string()),
            Err(error) => panic!("{error}"),
        }
    }
    out.extend(muxer.finish().unwrap().concat());
    let (codec, samples) = samples(out);
    (codec, samples, errors)
}

fn bytes(frame: &'static [u8]) -> Bytes {
    Bytes::from_static(frame)
}

#[test]
fn parameter_sets_among_the_properties_come_before_each_keyframe() {
    let objects = [
        (
            true,
            with_config(5_000_000, &record(4)),
            bytes(&[0, 0, 0, 2, 0x65, 1]),
        ),
        (false, at(5_033_000), bytes(&[0, 0, 0, 2, 0x41, 2])),
        (true, at(5_066_000), bytes(&[0, 0, 0, 2, 0x65, 3])),
    ];
    let track = described(MediaKind::Video, "avc1.42C01E");
    let (codec, samples, errors) = run(&track, MICROS, &objects);
    assert_eq!((codec.as_str(), errors.len()), ("avc3.42c01e", 0));
    let key = |byte| [sets(), vec![0, 0, 0, 2, 0x65, byte]].concat();
    assert_eq!(
        samples,
        [
            (0, 0, 33_000, key(1)),
            (33_000, 33_000, 33_000, vec![0, 0, 0, 2, 0x41, 2]),
            (66_000, 66_000, 33_000, key(3)),
        ]
    );
}

#[test]
fn a_record_in_the_catalog_is_in_the_header_and_another_one_in_the_stream() {
    let known = record(2);
    let track = Described {
        description: Some(&known),
        ..described(MediaKind::Video, "avc1.42C01E")
    };
    let mut other = record(2);
    *other.last_mut().unwrap() ^= 1;
    let objects = [
        (true, at(0), bytes(&[0, 2, 0x65, 1, 0, 1, 6])),
        (true, with_config(33_000, &other), bytes(&[0, 2, 0x65, 2])),
    ];
    let (codec, samples, errors) = run(&track, MICROS, &objects);
    assert_eq!((codec.as_str(), errors.len()), ("avc1.42c01e", 0));
    assert_eq!(
        samples[0].3,
        [0, 0, 0, 2, 0x65, 1, 0, 0, 0, 1, 6],
        "lengths of four bytes"
    );
    let mut changed = sets();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(samples[1].3, [changed, vec![0, 0, 0, 2, 0x65, 2]].concat());
}

#[test]
fn parameter_sets_that_were_in_force_before_are_put_back() {
    let known = record(4);
    let track = Described {
        description: Some(&known),
        ..described(MediaKind::Video, "avc1.42C01E")
    };
    let mut other = record(4);
    *other.last_mut().unwrap() ^= 1;
    let frame = || bytes(&[0, 0, 0, 2, 0x65, 1]);
    let objects = [
        (true, with_config(0, &known), frame()),
        (true, with_config(33_000, &other), frame()),
        (true, with_config(66_000, &known), frame()),
        (true, at(99_000), frame()),
    ];
    let (_, samples, errors) = run(&track, MICROS, &objects);
    assert_eq!(errors, [""; 0]);
    let mut changed = sets();
    *changed.last_mut().unwrap() ^= 1;
    let behind = |sets: &[u8]| [sets, &[0, 0, 0, 2, 0x65, 1]].concat();
    let expected = [&[][..], &changed, &sets(), &sets()].map(behind);
    assert!(samples.iter().map(|sample| &sample.3).eq(&expected));
}

#[test]
fn a_stream_that_brings_its_parameter_sets_once_goes_on() {
    let first = [&[0, 0, 0, 1], SPS, &[0, 0, 0, 1], PPS, &[0, 0, 1, 0x65, 9]].concat();
    let objects = [
        (true, at(0), first.into()),
        (false, at(33_000), bytes(&[0, 0, 0, 1, 0x41, 1])),
        (true, at(66_000), bytes(&[0, 0, 0, 1, 0x65, 2])),
        (false, at(99_000), bytes(&[0, 0, 0, 1, 0x41, 3])),
    ];
    let track = described(MediaKind::Video, "avc3.42C01E");
    let (_, samples, errors) = run(&track, MICROS, &objects);
    assert_eq!(errors, [""; 0]);
    let last: Vec<_> = samples.iter().map(|sample| *sample.3.last().unwrap()).collect();
    assert_eq!(last, [9, 1, 2, 3]);
}

#[test]
fn frames_behind_a_keyframe_that_is_left_out_wait_for_the_next_one() {
    let delta = |n| Bytes::from(vec![0, 0, 0, 2, 0x41, n]);
    let key = |n| Bytes::from(vec![0, 0, 0, 2, 0x65, n]);
    let objects = [
        (true, with_config(0, &record(4)), key(0)),
        (false, at(33_000), delta(1)),
        (true, at(66_000), bytes(&[0, 0, 0, 9, 0x65, 2])),
        (false, at(99_000), delta(3)),
        (false, at(132_000), delta(4)),
        (true, at(165_000), key(5)),
        (false, at(198_000), delta(6)),
    ];
    let track = described(MediaKind::Video, "avc3.42C01E");
    let (_, samples, errors) = run(&track, MICROS, &objects);
    assert_eq!(errors, [FrameError::Lengths.to_string()]);
    let last: Vec<_> = samples.iter().map(|sample| *sample.3.last().unwrap()).collect();
    assert_eq!(last, [0, 1, 5, 6]);
}

#[test]
fn frames_with_start_codes_or_with_their_own_parameter_sets_are_taken() {
    let stream = [&[0, 0, 0, 1], SPS, &[0, 0, 0, 1], PPS, &[0, 0, 1, 0x65, 9]].concat();
    let short = [&[0, 0, 1], SPS, &[0, 0, 1], PPS, &[0, 0, 1, 0x65, 9]].concat();
    let lengths = [sets(), vec![0, 0, 0, 2, 0x65, 9]].concat();
    let track = described(MediaKind::Video, "avc3.42C01E");
    for frame in [stream, short, lengths.clone()] {
        let (_, samples, errors) = run(&track, MICROS, &[(true, at(0), frame.into())]);
        assert_eq!(errors, [""; 0]);
        assert_eq!(samples[0].3, lengths);
    }
}

/// A clip in H.265: its codec, its configuration record and its samples.
fn hevc() -> (String, Bytes, Vec<Sample>) {
    use crate::media::demux::{Event, FileReader};
    let mut reader = FileReader::open(std::io::Cursor::new(crate::media::testdata::HEVC)).unwrap();
    let (mut info, mut samples) = (None, Vec::new());
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            Event::Tracks(mut tracks) => info = tracks.pop(),
            Event::Sample(sample) => samples.push(sample),
        }
    }
    let info = info.unwrap();
    let entry = info.sample_entry;
    let at = entry.windows(4).position(|four| four == b"hvcC").unwrap();
    let length = u32::from_be_bytes(entry[at - 4..at].try_into().unwrap()) as usize;
    (info.codec, entry.slice(at + 4..at - 4 + length), samples)
}

#[test]
fn hevc_comes_with_its_parameter_sets_among_the_properties_or_in_the_catalog() {
    let (codec, record, sent) = hevc();
    let objects: Vec<_> = sent
        .iter()
        .enumerate()
        .map(|(n, sample)| {
            let micros = n as u64 * 40_000;
            let properties = if sample.keyframe {
                with_config(micros, &record)
            } else {
                at(micros)
            };
            (sample.keyframe, properties, sample.data.clone())
        })
        .collect();
    let track = described(MediaKind::Video, &codec);
    let (written, samples, errors) = run(&track, MICROS, &objects);
    assert_eq!((written, errors.len()), (codec.replace("hvc1", "hev1"), 0));
    let sets = Parameters::read(Codec::Hevc, &record).unwrap().sets().clone();
    assert!(sets.len() > 60, "three parameter sets");
    let expected = sent.iter().map(|sample| {
        let sets = if sample.keyframe { sets.as_ref() } else { &[] };
        [sets, &sample.data].concat()
    });
    assert!(
        samples
            .iter()
            .map(|sample| &sample.3)
            .eq(expected.collect::<Vec<_>>().iter())
    );

    let track = Described {
        description: Some(&record),
        ..track
    };
    let first = [(true, at(0), sent[0].data.clone())];
    let (written, samples, _) = run(&track, MICROS, &first);
    assert_eq!(
        (written, samples[0].3.as_slice()),
        (codec.clone(), sent[0].data.as_ref())
    );
}

#[test]
fn times_count_as_the_object_says_or_else_the_catalog() {
    let track = described(MediaKind::Audio, "opus");
    let in_millis = |ticks| {
        let properties = Properties::builder().int(kind::LOC_TIMESTAMP, ticks);
        properties.int(kind::LOC_TIMESCALE, 1000).build().unwrap()
    };
    let objects = [
        (true, at(48_000), bytes(&[0xfc, 1])),
        (true, in_millis(1020), bytes(&[0xfc, 2])),
        (true, at(48_000 + 1920), bytes(&[0xfc, 3])),
    ];
    let (_, samples, errors) = run(&track, Time::Property { per_second: 48_000 }, &objects);
    assert_eq!(errors, [""; 0]);
    let times: Vec<_> = samples.iter().map(|sample| (sample.0, sample.2)).collect();
    assert_eq!(times, [(0, 960), (960, 960), (1920, 960)]);
}

#[test]
fn aac_needs_no_description() {
    let (init, _) = header(&described(MediaKind::Audio, "mp4a.40.2"), MICROS).unwrap();
    assert!(
        init.windows(4).any(|bytes| bytes == [5, 2, 0x11, 0x88]),
        "AAC-LC, 48 kHz, one channel"
    );
    let odd = Described {
        sample_rate: Some(47_999),
        ..described(MediaKind::Audio, "mp4a.40.2")
    };
    assert_eq!(header(&odd, MICROS).unwrap_err(), "AAC that needs a description");
}

#[test]
fn the_headers_of_adts_are_taken_off() {
    // AAC-LC, 48 kHz, one channel; `more` bytes are said to follow the first seven.
    let adts = |flags: u8, more: u8| {
        let length = 7 + more;
        [0xff, flags, 0x4c, 0x40, length >> 3, length << 5 | 0x1f, 0xfc]
    };
    let frame = |parts: &[&[u8]]| Bytes::from(parts.concat());
    let objects = [
        (true, at(0), frame(&[&adts(0xf1, 2), &[0x21, 1]])),
        (true, at(20_000), frame(&[&adts(0xf8, 4), &[9, 9, 0x21, 2]])),
        (true, at(40_000), frame(&[&[0x21, 3]])),
        (true, at(60_000), frame(&[&adts(0xf1, 3), &[0x21, 4]])),
        (true, at(60_000), frame(&[&adts(0xf1, 0)])),
        (true, at(60_000), frame(&[&[0xff, 0xf1, 0x4c]])),
    ];
    let track = described(MediaKind::Audio, "mp4a.40.2");
    let (_, samples, errors) = run(&track, MICROS, &objects);
    assert_eq!(
        errors,
        ["the ADTS header of the frame is damaged, or more than one frame follows it"; 3]
    );
    let written: Vec<_> = samples.into_iter().map(|sample| sample.3).collect();
    assert_eq!(written, [[0x21, 1], [0x21, 2], [0x21, 3]]);
}

#[test]
fn a_keyframe_is_known_by_its_marking_too() {
    let marked = |micros, flags: u8| {
        let properties = Properties::builder().int(kind::LOC_TIMESTAMP, micros);
        properties
            .bytes(kind::LOC_FRAME_MARKING, vec![flags])
            .build()
            .unwrap()
    };
    let objects = [
        (false, marked(0, 0xc0), bytes(&[1])),
        (false, marked(33_000, 0xe0), bytes(&[2])),
        (false, marked(66_000, 0xc0), bytes(&[3])),
    ];
    let (_, samples, _) = run(&described(MediaKind::Video, "vp8"), MICROS, &objects);
    let frames: Vec<_> = samples.into_iter().map(|sample| sample.3).collect();
    assert_eq!(frames, [vec![2], vec![3]], "a recording begins with a keyframe");
}

#[test]
fn what_is_damaged_is_left_out_and_the_rest_goes_on() {
    let timescale = |value| {
        let properties = Properties::builder().int(kind::LOC_TIMESTAMP, 1);
        properties.int(kind::LOC_TIMESCALE, value).build().unwrap()
    };
    let frame = || bytes(&[0, 0, 0, 2, 0x65, 1]);
    let cut = Properties::from_bytes(bytes(&[0x10, 0xff]));
    let objects = [
        (true, at(0), frame()),
        (true, Properties::empty(), frame()),
        (true, cut, frame()),
        (true, timescale(0), frame()),
        (true, at(u64::MAX), frame()),
        (true, at(1 << 53), frame()),
        (true, with_config(0, &vec![1; MAX_DESCRIPTION + 1]), frame()),
        (true, with_config(0, &record(4)[..9]), frame()),
        (true, with_config(0, &record(3)), frame()),
        (true, with_config(0, &record(4)), bytes(&[0, 0, 0, 3, 0x65, 1])),
        (true, with_config(0, &record(4)), bytes(&[0, 0, 0, 0])),
        (true, with_config(0, &record(4)), bytes(&[0, 0])),
        (true, with_config(0, &record(4)), bytes(&[])),
        (true, with_config(0, &record(4)), frame()),
        (false, at(33_000), bytes(&[0, 0, 0, 2, 0x41, 2])),
    ];
    let track = described(MediaKind::Video, "avc1.42C01E");
    let (_, samples, errors) = run(&track, MICROS, &objects);
    let large = FrameError::LargeConfig(MAX_DESCRIPTION + 1).to_string();
    let [none, time, config] =
        [FrameError::NoTime, FrameError::Time, FrameError::Config].map(|error| error.to_string());
    let [bare, lengths] = [FrameError::NoParameters, FrameError::Lengths].map(|error| error.to_string());
    let expected = [
        &bare, &none, &none, &time, &time, &time, &large, &config, &config, &lengths, &lengths, &lengths,
    ];
    assert_eq!(errors.iter().collect::<Vec<_>>(), expected);
    let times: Vec<_> = samples.iter().map(|sample| sample.0).collect();
    assert_eq!(times, [0, 33_000]);
}

proptest! {
    #[test]
    fn no_object_makes_it_panic(
        objects in prop::collection::vec(
            (any::<bool>(), prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..40), any::<u64>()),
            1..8,
        ),
        is_damaged: bool,
    ) {
        for (kind, codec) in [(MediaKind::Video, "avc1.42c01e"), (MediaKind::Video, "vp8"), (MediaKind::Audio, "opus")] {
            let objects: Vec<_> = objects
                .iter()
                .map(|(first, config, payload, time)| {
                    let properties = if is_damaged {
                        Properties::from_bytes(config.clone().into())
                    } else {
                        with_config(*time, config)
                    };
                    (*first, properties, Bytes::from(payload.clone()))
                })
                .collect();
            let (_, samples, errors) = run(&described(kind, codec), MICROS, &objects);
            prop_assert!(samples.len() + errors.len() <= 2 * objects.len());
        }
    }

    #[test]
    fn no_record_makes_it_panic(
        damage in prop::collection::vec((0..60_usize, any::<u8>()), 0..6),
        end in 0..200_usize,
        is_hevc: bool,
    ) {
        let (codec, name) = if is_hevc { (Codec::Hevc, "hvc1.1.6.L93") } else { (Codec::Avc, "avc1.42c01e") };
        let mut record = if is_hevc { hevc().1.to_vec() } else { record(4) };
        for (place, byte) in damage {
            if let Some(old) = record.get_mut(place) {
                *old = byte;
            }
        }
        record.truncate(end);
        if let Some(parameters) = Parameters::read(codec, &record) {
            prop_assert!(parameters.sets().len() <= 2 * record.len());
        }
        let track = Described {
            description: Some(&record),
            ..described(MediaKind::Video, name)
        };
        if let Ok((init, _)) = header(&track, MICROS) {
            prop_assert!(Muxer::new(&[init]).is_ok(), "what is given out as a header is one");
        }
    }
}
