//! Which times count, and what becomes of those that do not fit.

use super::*;

/// Decode and presentation time of what becomes of `objects`, with the first byte of each frame, and how many were left out.
fn run(track: &Described<'_>, objects: &[(bool, Bytes)]) -> (Vec<(u64, u64, u8)>, u64) {
    let (init, framing) = header(track, Time::Front).unwrap();
    let mut muxer = Muxer::new(&[init]).unwrap().framed([Some(framing)]);
    let mut out = muxer.header().unwrap().to_vec();
    let mut astray = 0;
    for (first, object) in objects {
        match muxer.take(0, of_hang(*first, object)) {
            Ok(fragments) => out.extend(fragments.concat()),
            Err(MuxError::Frame {
                source: FrameError::Astray,
                ..
            }) => astray += 1,
            Err(error) => panic!("{error}"),
        }
    }
    out.extend(muxer.finish().unwrap().concat());
    let samples = samples(out).1.into_iter();
    let samples = samples.map(|(dts, pts, _, data)| (dts, pts, data[0]));
    (samples.collect(), astray + muxer.dropped())
}

/// Frames of sound at these milliseconds, numbered.
fn sound(times: &[u32]) -> (Vec<(u64, u64, u8)>, u64) {
    let objects = times.iter().zip(0..);
    let objects: Vec<_> = objects
        .map(|(millis, n)| (true, object(millis * 1000, &[n])))
        .collect();
    run(&described(MediaKind::Audio, "opus"), &objects)
}

/// Pictures at these milliseconds, numbered; `true`: a keyframe.
fn pictures(times: &[(bool, u32)]) -> (Vec<(u64, u64, u8)>, u64) {
    let objects = times.iter().zip(0..);
    let objects: Vec<_> = objects
        .map(|((key, millis), n)| (*key, object(millis * 1000, &[n])))
        .collect();
    run(&described(MediaKind::Video, "vp8"), &objects)
}

fn frames(samples: &[(u64, u64, u8)]) -> Vec<u8> {
    samples.iter().map(|sample| sample.2).collect()
}

#[test]
fn a_stray_that_the_next_frame_contradicts_is_left_out() {
    for stray in [45_000, 55_000, 75_000, 460_000] {
        let times = [60_000, 60_020, stray, 60_040, 60_060];
        let expected = vec![(0, 0, 0), (960, 960, 1), (1920, 1920, 3), (2880, 2880, 4)];
        assert_eq!(sound(&times), (expected, 1), "{stray}");
        // Nothing agrees yet with the frame before it.
        let times = [60_000, stray, 60_020, 60_040];
        let expected = vec![(0, 0, 0), (960, 960, 2), (1920, 1920, 3)];
        assert_eq!(sound(&times), (expected, 1), "{stray}");
    }
}

#[test]
fn pauses_cost_nothing() {
    let slow: Vec<_> = (0..5).map(|n| n * 15_000).collect();
    for times in [&slow[..], &slow[..4], &[0, 20, 400_000, 400_020, 400_040]] {
        let (samples, lost) = sound(times);
        let written: Vec<_> = samples.iter().map(|sample| sample.0).collect();
        let sent: Vec<_> = times.iter().map(|millis| u64::from(*millis) * 48).collect();
        assert_eq!((written, lost), (sent, 0));
    }
}

#[test]
fn a_time_a_little_behind_does_not_shift_what_follows() {
    let expected = vec![
        (0, 0, 0),
        (960, 960, 1),
        (1920, 1920, 2),
        (1921, 1921, 3),
        (2880, 2880, 4),
        (3840, 3840, 5),
    ];
    assert_eq!(sound(&[0, 20, 40, 39, 60, 80]), (expected, 0));
    let key = |millis| (true, millis);
    let expected = vec![
        (0, 0, 0),
        (33_000, 33_000, 1),
        (33_001, 32_000, 2),
        (66_000, 66_000, 3),
    ];
    assert_eq!(pictures(&[key(0), key(33), key(32), key(66)]), (expected, 0));
}

#[test]
fn a_publisher_that_starts_over_a_few_seconds_behind_loses_nothing() {
    let times = [
        (true, 10_000),
        (false, 10_033),
        (true, 7000),
        (false, 7033),
        (false, 7066),
    ];
    let (samples, lost) = pictures(&times);
    assert_eq!((frames(&samples), lost), (vec![0, 1, 2, 3, 4], 0));
    assert!(
        samples.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "{samples:?}"
    );
    assert_eq!(samples[4].0 - samples[2].0, 66_000);
}

#[test]
fn pictures_behind_a_stray_keyframe_wait_for_the_next_one() {
    let times = [
        (true, 60_000),
        (false, 60_033),
        (true, 45_000),
        (false, 60_099),
        (false, 60_132),
        (true, 60_165),
    ];
    let (samples, _) = pictures(&times);
    assert_eq!(frames(&samples), [0, 1, 5]);
}
