//! Damaged and hostile input: a clear error, never a panic, and the same whatever the chunks.

use proptest::prelude::*;

use super::*;

fn chunks(bytes: &'static [u8], size: usize) -> impl Iterator<Item = Bytes> {
    bytes.chunks(size).map(Bytes::from_static)
}

fn position(bytes: &[u8], what: &[u8]) -> usize {
    bytes
        .windows(what.len())
        .position(|window| window == what)
        .unwrap()
}

/// `bytes` with `with` written `skip` bytes behind the first `kind`.
fn patched(bytes: &[u8], kind: &[u8; 4], skip: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = position(&bytes, kind) + 4 + skip;
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

fn both(bytes: &[u8]) -> DemuxError {
    let by_file = file(bytes).unwrap_err();
    let by_pipe = stream([Bytes::copy_from_slice(bytes)]).unwrap_err();
    assert_eq!(by_file.to_string(), by_pipe.to_string());
    by_pipe
}

#[test]
fn chunks_of_any_size_give_the_same() {
    for bytes in [PROGRESSIVE, LIVE, GOP, VP9_OPUS] {
        let whole = stream([Bytes::from_static(bytes)]).unwrap();
        for size in [1, 7, 1023, 4096] {
            assert_eq!(stream(chunks(bytes, size)).unwrap(), whole, "chunks of {size}");
        }
    }
}

#[test]
fn a_sample_is_given_out_with_its_last_byte() {
    let mut demuxer = Demuxer::new();
    let mdat = position(LIVE, b"mdat");
    let end = mdat - 4 + u32::from_be_bytes(LIVE[mdat - 4..mdat].try_into().unwrap()) as usize;
    demuxer.push(Bytes::from_static(&LIVE[..end - 1]));
    assert!(matches!(demuxer.next_event().unwrap(), Some(Event::Tracks(_))));
    assert_eq!(demuxer.next_event().unwrap(), None);
    demuxer.push(Bytes::from_static(&LIVE[end - 1..end]));
    assert!(matches!(demuxer.next_event().unwrap(), Some(Event::Sample(_))));
}

#[test]
fn what_is_no_mp4_is_named() {
    assert!(matches!(
        both(b"\x1aE\xdf\xa3 a Matroska file"),
        DemuxError::NotMp4 { .. }
    ));
    assert!(matches!(both(b""), DemuxError::Empty));
    assert!(matches!(both(b"hello"), DemuxError::NotMp4 { .. }));
}

#[test]
fn a_pipe_with_its_index_at_the_end_says_what_to_do() {
    let error = stream([Bytes::from_static(MOOV_AT_END)]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("-movflags +empty_moov+default_base_moof+frag_every_frame"),
        "{error}"
    );
}

#[test]
fn a_pipe_that_ends_in_mid_fragment_says_so() {
    let cut = LIVE.len() / 2;
    let whole_fragments = position(&LIVE[cut..], b"mdat") + cut;
    let error = stream([Bytes::from_static(&LIVE[..whole_fragments + 6])]).unwrap_err();
    assert!(
        matches!(error, DemuxError::Truncated { what: "a fragment" }),
        "{error}"
    );
    let error = file(&PROGRESSIVE[..PROGRESSIVE.len() - 10]).unwrap_err();
    assert!(matches!(error, DemuxError::Truncated { .. }), "{error}");
}

#[test]
fn an_unsupported_codec_is_named() {
    let error = both(&patched(PROGRESSIVE, b"stsd", 12, b"mp4v"));
    assert!(error.to_string().contains("'mp4v' (video track 1)"), "{error}");
}

#[test]
fn video_without_keyframes_is_refused() {
    let none = patched(PROGRESSIVE, b"stss", 4, &[0, 0, 0, 0]);
    assert!(
        both(&none).to_string().contains("damaged"),
        "an stss with left-over bytes"
    );
    let elsewhere = patched(PROGRESSIVE, b"stss", 8, &[0, 0, 1, 0, 0, 0, 1, 1]);
    assert!(matches!(both(&elsewhere), DemuxError::NoKeyframe { .. }));
}

#[test]
fn impossible_numbers_are_refused() {
    let zero_timescale = patched(PROGRESSIVE, b"mdhd", 12, &[0; 4]);
    assert!(both(&zero_timescale).to_string().contains("timescale 0"));
    let zero_id = patched(PROGRESSIVE, b"tkhd", 12, &[0; 4]);
    assert!(both(&zero_id).to_string().contains("id 0"));
    let huge_moov = [b"\0\0\0\x08free".as_slice(), b"\x7f\xff\xff\xffmoov", &[0; 64]].concat();
    assert!(matches!(both(&huge_moov), DemuxError::TooLarge { .. }));
    let endless = [
        b"\0\0\0\x08free".as_slice(),
        b"\0\0\0\x01free\xff\xff\xff\xff\xff\xff\xff\xff",
    ]
    .concat();
    assert!(matches!(both(&endless), DemuxError::BoxSize { .. }));
    let tiny = b"\0\0\0\x08free\0\0\0\x03free........";
    assert!(matches!(both(tiny), DemuxError::BoxSize { .. }));
    let huge_sample = patched(PROGRESSIVE, b"stsz", 12, &[0xff; 4]);
    assert!(matches!(both(&huge_sample), DemuxError::TooLarge { .. }));
    let outside = patched(PROGRESSIVE, b"stco", 8, &[0; 4]);
    let error = stream([Bytes::from(outside)]).unwrap_err();
    assert!(error.to_string().contains("outside"), "{error}");
}

#[test]
fn a_hundred_thousand_nested_boxes_do_not_end_the_stack() {
    // Once as an index, once as a fragment header.
    let mut nested = Vec::new();
    for level in 0..100_000_u32 {
        nested.extend_from_slice(&((100_000 - level) * 8).to_be_bytes());
        nested.extend_from_slice(if level % 2 == 0 { b"moov" } else { b"trak" });
    }
    assert!(file(&nested).is_err());
    nested[4..8].copy_from_slice(b"moof");
    let header = position(LIVE, b"moof") - 4;
    let bytes = [&LIVE[..header], &nested].concat();
    assert!(
        stream([Bytes::from(bytes)]).is_ok(),
        "a fragment without samples says nothing"
    );
}

#[test]
fn damaged_objects_are_refused_and_the_next_is_taken() {
    let (tracks, samples) = file(LIVE).unwrap();
    let packets = package(&tracks, &samples);
    let init = Catalog::of(&tracks).unwrap().tracks[0].init.clone();
    let mut muxer = Muxer::new(&[init]).unwrap();
    let object = &packets.iter().find(|packet| packet.track == 0).unwrap().payload;
    assert!(muxer.push(0, &Bytes::from_static(b"not a box at all")).is_err());
    assert!(muxer.push(0, &object.slice(..object.len() - 1)).is_err());
    assert!(muxer.push(1, object).is_err());
    assert_eq!(muxer.push(0, object).unwrap().len(), 1);
}

fn feed(bytes: &[u8]) {
    let by_pipe = stream([Bytes::copy_from_slice(bytes)]);
    let by_file = file(bytes);
    for (tracks, samples) in [by_pipe, by_file].into_iter().flatten() {
        let mut packager = Packager::new(&tracks, PackagerConfig::default());
        for sample in samples {
            let _any = packager.push(sample);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048), kind in 0..4_usize) {
        let kind: &[u8] = [b"ftyp", b"moov", b"moof", b"mdat"][kind];
        feed(&[&[0, 0, 4, 0], kind, &bytes].concat());
        let _any = Catalog::parse_msf(&bytes);
        let _any = Catalog::parse_hang(&bytes);
        let _any = Muxer::new(&[Bytes::from(bytes)]);
    }

    #[test]
    fn mutated_files_never_panic(
        vector in 0..ALL.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        header in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = ALL[vector].1.to_vec();
        // Most damage goes where the structure is.
        let reach = if header { bytes.len().min(1500) } else { bytes.len() };
        for (at, value) in &changes {
            bytes[at.index(reach)] = *value;
        }
        feed(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        feed(&bytes);
    }

    #[test]
    fn mutated_objects_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let (tracks, samples) = file(GOP).unwrap();
        let inits: Vec<_> = Catalog::of(&tracks).unwrap().tracks.into_iter().map(|track| track.init).collect();
        let mut muxer = Muxer::new(&inits).unwrap();
        for packet in package(&tracks, &samples) {
            let mut object = packet.payload.to_vec();
            let reach = object.len().min(120);
            for (at, value) in &changes {
                object[at.index(reach)] = *value;
            }
            let _any = muxer.push(packet.track, &Bytes::from(object));
        }
        let _any = muxer.finish();
    }

    #[test]
    fn random_chunks_give_the_same(cuts in prop::collection::vec(1..3000_usize, 1..40)) {
        let mut rest = GOP;
        let mut parts = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (part, after) = rest.split_at((*cut).min(rest.len()));
            parts.push(Bytes::from_static(part));
            rest = after;
        }
        prop_assert_eq!(stream(parts).unwrap(), file(GOP).unwrap());
    }
}
