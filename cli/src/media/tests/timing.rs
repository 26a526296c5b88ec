//! Groups, loops, late starts and lagging tracks.

use super::*;

fn demo() -> Read {
    file(include_bytes!("../../../assets/demo.mp4")).unwrap()
}

fn starts(packets: &[Packet], track: usize) -> Vec<u64> {
    packets
        .iter()
        .filter(|p| p.track == track && p.group_start)
        .map(|p| p.timestamp)
        .collect()
}

#[test]
fn the_demo_clip_has_a_group_a_second_and_audio_beside_it() {
    let (tracks, samples) = demo();
    let packets = package(&tracks, &samples);
    let (video, audio) = (starts(&packets, 0), starts(&packets, 1));
    assert_eq!(
        video,
        (0..10).map(|second| second * 1_000_000).collect::<Vec<_>>()
    );
    assert_eq!(audio.len(), video.len());
    // The picture of a keyframe is shown two frames after its decode time; the sound of a group begins there.
    let shown = 2 * 1_000_000 / 30;
    for (video, audio) in video.iter().zip(&audio).skip(1) {
        assert!(
            (video + shown..video + shown + 22_000).contains(audio),
            "video {video}, audio {audio}"
        );
    }
    assert_eq!(
        packets.iter().filter(|packet| packet.track == 0).count(),
        300,
        "an object per frame"
    );
    let sound = packets.iter().filter(|packet| packet.track == 1).count();
    assert!(
        (100..=130).contains(&sound),
        "about ten objects of sound per second: {sound}"
    );
}

#[test]
fn sound_alone_is_grouped_by_the_second() {
    let (tracks, samples) = file(AAC).unwrap();
    let starts = starts(&package(&tracks, &samples), 0);
    assert_eq!(starts.len(), 2);
    assert!((1_000_000..1_030_000).contains(&starts[1]));
}

#[test]
fn frames_before_the_first_keyframe_are_left_out() {
    let (tracks, samples) = file(LIVE).unwrap();
    let packets = package(&tracks, samples.get(3..).unwrap());
    let first = packets.iter().find(|packet| packet.track == 0).unwrap();
    assert!(first.group_start);
    assert_eq!(packets.iter().filter(|packet| packet.track == 0).count(), 15);
}

#[test]
fn a_loop_goes_on_where_the_pass_before_ended() {
    let (tracks, samples) = demo();
    let mut packager = Packager::new(&tracks, PackagerConfig::default());
    let mut packets = Vec::new();
    for _pass in 0..3 {
        packets.extend(
            samples
                .iter()
                .flat_map(|sample| packager.push(sample.clone()).unwrap()),
        );
        packets.extend(packager.next_pass().unwrap());
    }
    assert_eq!(starts(&packets, 0).len(), 30);
    assert_eq!(
        starts(&packets, 1).len(),
        30,
        "sound keeps a group per group of video"
    );
    let (_, again) = file(&mux(&tracks, &packets)).unwrap();
    for (index, track) in tracks.iter().enumerate() {
        let looped = of_track(&again, index);
        assert_eq!(looped.len(), 3 * of_track(&samples, index).len());
        for pair in looped.windows(2) {
            let gap = pair[1]
                .dts
                .checked_sub(pair[0].end())
                .expect("times never fall back");
            assert!(track.micros(gap) < 150_000, "a seam of {gap} ticks");
        }
    }
}

#[test]
fn a_file_that_begins_in_mid_stream_begins_near_zero_and_in_step() {
    let (tracks, samples) = demo();
    let packets = package(&tracks, &samples);
    let mut groups = [0, 0];
    let late: Vec<_> = packets
        .into_iter()
        .filter(|packet| {
            groups[packet.track] += usize::from(packet.group_start);
            groups[packet.track] > 5
        })
        .collect();
    let (_, result) = file(&mux(&tracks, &late)).unwrap();
    let moved: Vec<_> = (0..2)
        .map(|index| {
            let (before, after) = (of_track(&samples, index), of_track(&result, index));
            let kept = &before[before.len() - after.len()..];
            assert!(
                kept.iter()
                    .zip(&after)
                    .all(|(a, b)| a.data == b.data && a.offset == b.offset)
            );
            tracks[index].micros(kept[0].dts) - tracks[index].micros(after[0].dts)
        })
        .collect();
    assert_eq!(
        result
            .iter()
            .map(|sample| tracks[sample.track].micros(sample.dts))
            .min(),
        Some(0)
    );
    assert!(
        moved[0].abs_diff(moved[1]) < 100,
        "both tracks moved by the same time: {moved:?}"
    );
}

#[test]
fn a_track_that_never_comes_does_not_hold_the_other_for_ever() {
    let (tracks, samples) = demo();
    let inits: Vec<_> = Catalog::of(&tracks)
        .unwrap()
        .tracks
        .into_iter()
        .map(|track| track.init)
        .collect();
    let mut muxer = Muxer::new(&inits).unwrap();
    let video: Vec<_> = package(&tracks, &samples)
        .into_iter()
        .filter(|packet| packet.track == 0)
        .collect();
    let mut written = 0;
    for (sent, packet) in (1..).zip(&video) {
        written += muxer.push(0, &packet.payload).unwrap().len();
        assert!(
            sent - written <= 62,
            "two seconds at 30 frames wait at most: {sent} {written}"
        );
    }
    assert!(written > 200);
    assert_eq!(written + muxer.end_track(1).unwrap().len(), video.len());
}

#[test]
fn a_publisher_that_starts_over_is_continued() {
    let (tracks, samples) = demo();
    let once = package(&tracks, &samples);
    let twice: Vec<_> = once.iter().chain(&once).cloned().collect();
    let inits: Vec<_> = Catalog::of(&tracks)
        .unwrap()
        .tracks
        .into_iter()
        .map(|track| track.init)
        .collect();
    let mut muxer = Muxer::new(&inits).unwrap();
    let mut out = muxer.header().unwrap().to_vec();
    let mut fragments: Vec<_> = twice
        .iter()
        .flat_map(|packet| muxer.push(packet.track, &packet.payload).unwrap())
        .collect();
    fragments.extend(muxer.finish().unwrap());
    fragments
        .iter()
        .for_each(|fragment| out.extend_from_slice(fragment));
    let (_, result) = file(&out).unwrap();
    let video = of_track(&result, 0);
    assert_eq!(video.len(), 600);
    assert!(
        video.windows(2).all(|pair| pair[1].dts >= pair[0].end()),
        "times never fall back"
    );
    let sound = of_track(&result, 1);
    assert!(
        sound.windows(2).all(|pair| pair[1].dts >= pair[0].end()),
        "times never fall back"
    );
    assert!(
        muxer.dropped() <= 10,
        "the seam costs at most some frames of sound: {}",
        muxer.dropped()
    );
}
