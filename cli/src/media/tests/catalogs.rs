//! Both catalogs, written and read, and the shapes that others write.

use serde_json::{Value, json};

use super::*;
use crate::media::bare::Time;
use crate::media::catalog::{CatalogError, CatalogTrack, MAX_CATALOG, MAX_CATALOG_TRACKS};

fn catalog() -> Catalog {
    Catalog::of(&file(PROGRESSIVE).unwrap().0).unwrap()
}

#[test]
fn both_forms_come_back_as_they_were() {
    for (_, bytes) in ALL {
        let catalog = Catalog::of(&file(bytes).unwrap().0).unwrap();
        assert_eq!(Catalog::parse_msf(&catalog.to_msf()).unwrap(), catalog);
        assert_eq!(Catalog::parse_hang(&catalog.to_hang()).unwrap(), catalog);
        let inits: Vec<_> = catalog.tracks.iter().map(|track| track.init.clone()).collect();
        assert!(
            Muxer::new(&inits).is_ok(),
            "the headers in the catalog are usable"
        );
    }
}

#[test]
fn fields_have_the_names_and_places_of_the_drafts() {
    let catalog = catalog();
    let msf: Value = serde_json::from_slice(&catalog.to_msf()).unwrap();
    assert_eq!(msf["version"], "draft-01");
    assert_eq!(msf["initDataList"][0]["type"], "inline");
    let video = &msf["tracks"][0];
    assert_eq!(video["initRef"], msf["initDataList"][0]["id"]);
    assert_eq!(
        (&video["packaging"], &video["isLive"], &video["role"]),
        (&json!("cmaf"), &json!(true), &json!("video"))
    );
    assert_eq!(
        (&video["width"], &video["height"], &video["framerate"]),
        (&json!(160), &json!(90), &json!(15.0))
    );
    let audio = &msf["tracks"][1];
    assert_eq!(
        (&audio["samplerate"], &audio["channelConfig"]),
        (&json!(44_100), &json!("1"))
    );
    assert_eq!(audio["renderGroup"], video["renderGroup"]);

    let hang: Value = serde_json::from_slice(&catalog.to_hang()).unwrap();
    let video = &hang["video"]["renditions"]["video0"];
    assert_eq!(video["container"]["kind"], "cmaf");
    assert!(video["container"]["init"].is_string());
    // AVCDecoderConfigurationRecord: version 1, then the profile, constraints and level of the codec's name.
    let codec = video["codec"].as_str().unwrap();
    let description = video["description"].as_str().unwrap();
    assert!(
        description.starts_with(&codec.replace("avc1.", "01")),
        "{codec}: {description}"
    );
    assert_eq!(
        (&video["codedWidth"], &video["codedHeight"]),
        (&json!(160), &json!(90))
    );
    let audio = &hang["audio"]["renditions"]["audio0"];
    assert_eq!(
        (&audio["sampleRate"], &audio["numberOfChannels"]),
        (&json!(44_100), &json!(1))
    );
}

#[test]
fn an_older_msf_catalog_with_strange_fields_is_read() {
    let json = json!({
        "version": 1, "generatedAt": 5, "supportsDeltaUpdates": true,
        "tracks": [
            { "name": "v", "packaging": "cmaf", "codec": "avc1.64001f", "initData": "AAEC", "colour": [1] },
            { "name": "a", "packaging": "cmaf", "codec": "opus", "initData": "AAE", "channelConfig": 2 },
            { "name": "low", "packaging": "mediatimeline", "codec": "opus" },
            { "name": 7 },
        ],
    });
    let catalog = Catalog::parse_msf(json.to_string().as_bytes()).unwrap();
    let kinds: Vec<_> = catalog
        .tracks
        .iter()
        .map(|track| (track.name.as_str(), track.kind, track.channels))
        .collect();
    assert_eq!(
        kinds,
        [("v", MediaKind::Video, None), ("a", MediaKind::Audio, Some(2))]
    );
    assert_eq!(catalog.tracks[0].init, Bytes::from_static(&[0, 1, 2]));
    assert_eq!(catalog.skipped.len(), 2);
    assert_eq!(catalog.skipped[0], "low (mediatimeline)");
}

#[test]
fn tracks_in_loc_get_a_header_made_up_for_them() {
    let json = json!({
        "version": "draft-01",
        "tracks": [
            { "name": "v", "packaging": "loc", "role": "video", "codec": "avc1.42e01e", "width": 640, "height": 360 },
            { "name": "r", "packaging": "loc", "codec": "avc1.42e01e", "width": 640, "height": 360, "initRef": "i" },
            { "name": "a", "packaging": "loc", "role": "audio", "codec": "opus", "timescale": 48000, "channelConfig": "1" },
            { "name": "n", "packaging": "loc", "codec": "vp8" },
            { "name": "d", "packaging": "loc", "codec": "avc1.42e01e", "width": 640, "height": 360, "initData": "AAEC" },
            { "name": "l", "packaging": "loc", "codec": "vp8", "width": 640, "height": 360, "initData": "A".repeat(30_000) },
            { "name": "b", "packaging": "loc", "codec": "avc1.42e01e", "width": 640, "height": 360, "initData": "AU!AHv" },
            { "name": "s", "packaging": "loc", "codec": "opus", "channelConfig": "stereo" },
            { "name": "m", "packaging": "loc", "codec": "opus", "channelConfig": "mono" },
            { "name": "5", "packaging": "loc", "codec": "mp4a.40.2", "samplerate": 48000, "channelConfig": "5.1" },
            { "name": "7", "packaging": "loc", "codec": "mp4a.40.2", "samplerate": 48000, "channelConfig": 7.1 },
            { "name": "o", "packaging": "loc", "codec": "opus", "channelConfig": "5.1" },
            { "name": "6", "packaging": "loc", "codec": "mp4a.40.2", "samplerate": 48000, "channelConfig": "6.1" },
            { "name": "0", "packaging": "loc", "codec": "opus", "channelConfig": "0" },
        ],
        // A record with a sequence and a picture parameter set.
        "initDataList": [{ "id": "i", "data": "AULAHv/hAARnQsAeAQACaM4=" }],
    });
    let catalog = Catalog::parse_msf(json.to_string().as_bytes()).unwrap();
    let inits: Vec<_> = catalog.tracks.iter().map(|track| track.init.clone()).collect();
    let muxer = Muxer::new(&inits).unwrap();
    let codecs: Vec<_> = muxer.tracks().iter().map(|track| track.codec.as_str()).collect();
    assert_eq!(
        codecs,
        [
            "avc3.42e01e",
            "avc1.42c01e",
            "opus",
            "opus",
            "opus",
            "mp4a.40.2",
            "mp4a.40.2",
            "opus"
        ]
    );
    let channels: Vec<_> = muxer.tracks().iter().filter_map(|track| track.channels).collect();
    assert_eq!(channels, [1, 2, 1, 6, 8, 2]);
    let times: Vec<_> = catalog
        .tracks
        .iter()
        .filter_map(|track| Some(track.framing.as_ref()?.time))
        .collect();
    let of = |per_second| Time::Property { per_second };
    let micros = of(1_000_000);
    assert_eq!(
        times,
        [micros, micros, of(48_000), micros, micros, micros, micros, micros]
    );
    assert_eq!(
        catalog.skipped,
        [
            "n (loc, without the size of its pictures)",
            "d (loc, with a damaged description)",
            "l (loc, with a description too large)",
            "b (loc, with a description that is no base64)",
            "o (loc, with more than two channels of Opus)",
            "6 (loc, AAC that needs a description)",
        ]
    );
}

#[test]
fn what_cannot_be_used_is_said() {
    let msf = |json: Value| Catalog::parse_msf(json.to_string().as_bytes()).unwrap_err();
    let hang = |json: Value| Catalog::parse_hang(json.to_string().as_bytes()).unwrap_err();
    assert!(matches!(
        msf(json!({ "version": "draft-01", "add": [] })),
        CatalogError::Delta
    ));
    assert!(matches!(
        msf(json!({ "version": "2" , "tracks": [] })),
        CatalogError::Version(_)
    ));
    assert!(matches!(
        msf(json!({ "version": "draft-01", "tracks": [] })),
        CatalogError::NoTracks
    ));
    assert!(matches!(hang(json!({})), CatalogError::NoTracks));
    assert!(matches!(msf(json!([])), CatalogError::Json { .. }));
    let legacy =
        json!({ "video": { "renditions": { "hd": { "codec": "vp8", "container": { "kind": "legacy" } } } } });
    let error = hang(legacy).to_string();
    assert!(
        error.contains("hd (legacy, without the size of its pictures)"),
        "{error}"
    );
}

#[test]
fn catalogs_are_bounded() {
    let large = vec![b' '; MAX_CATALOG + 1];
    assert!(matches!(
        Catalog::parse_msf(&large),
        Err(CatalogError::TooLarge(_))
    ));
    assert!(matches!(
        Catalog::parse_hang(&large),
        Err(CatalogError::TooLarge(_))
    ));
    let track = catalog().tracks.remove(0);
    let tracks = (0..=MAX_CATALOG_TRACKS)
        .map(|n| CatalogTrack {
            name: n.to_string(),
            ..track.clone()
        })
        .collect();
    let many = Catalog {
        tracks,
        skipped: Vec::new(),
    };
    assert!(matches!(
        Catalog::parse_msf(&many.to_msf()),
        Err(CatalogError::TooManyTracks(_))
    ));
    assert!(matches!(
        Catalog::parse_hang(&many.to_hang()),
        Err(CatalogError::TooManyTracks(_))
    ));
}
