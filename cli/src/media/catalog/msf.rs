//! The MSF catalog (draft-ietf-moq-msf-01, "Catalog"; CMAF packaging: draft-ietf-moq-cmsf).
//!
//! Written as draft-01: a version string, headers in `initDataList`, tracks point to them by `initRef`. Read as
//! draft-00 too: version 1, header in the track's `initData`. Tracks in LOC (draft-ietf-moq-loc-04) are read; what is the header
//! with CMAF is the decoder's configuration record with them, and may be missing.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Catalog, CatalogError, CatalogTrack, check_count, decode_base64, encode_base64, is_audio};
use crate::media::MediaKind;
use crate::media::bare::{self, Described, Framing, MAX_DESCRIPTION, Time};

const VERSION: &str = "draft-01";
const CMAF: &str = "cmaf";
const LOC: &str = "loc";
/// Units per second of times in LOC, where nothing tells.
const LOC_TIMESCALE: u64 = 1_000_000;
const INLINE: &str = "inline";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Root<'a> {
    version: &'static str,
    tracks: Vec<Track<'a>>,
    init_data_list: Vec<InitData>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Track<'a> {
    name: &'a str,
    packaging: &'static str,
    is_live: bool,
    role: &'static str,
    render_group: u32,
    codec: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    framerate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    samplerate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_config: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bitrate: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lang: Option<&'a str>,
    init_ref: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct InitData {
    id: String,
    #[serde(rename = "type", default = "inline")]
    kind: String,
    #[serde(default)]
    data: String,
}

fn inline() -> String {
    INLINE.to_owned()
}

pub(super) fn write(catalog: &Catalog) -> Bytes {
    let mut root = Root {
        version: VERSION,
        tracks: Vec::new(),
        init_data_list: Vec::new(),
    };
    for (index, track) in catalog.tracks.iter().enumerate() {
        let init_ref = format!("init{index}");
        let data = encode_base64(&track.init);
        root.init_data_list.push(InitData {
            id: init_ref.clone(),
            kind: inline(),
            data,
        });
        root.tracks.push(Track {
            name: &track.name,
            packaging: CMAF,
            is_live: true,
            role: match track.kind {
                MediaKind::Video => "video",
                MediaKind::Audio => "audio",
            },
            // All tracks of a broadcast are rendered together.
            render_group: 1,
            codec: &track.codec,
            width: track.width,
            height: track.height,
            framerate: track.framerate.filter(|rate| rate.is_finite()),
            samplerate: track.sample_rate,
            channel_config: track.channels.map(|channels| channels.to_string()),
            bitrate: track.bitrate,
            lang: track.language.as_deref(),
            init_ref,
        });
    }
    // Strings, numbers and finite floats always serialise.
    serde_json::to_vec(&root).unwrap_or_default().into()
}

/// What we read; every field may be missing, so that one odd track does not refuse the catalog.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyRoot {
    version: Option<Value>,
    tracks: Option<Vec<Value>>,
    #[serde(default)]
    init_data_list: Vec<InitData>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyTrack {
    name: String,
    packaging: Option<String>,
    role: Option<String>,
    codec: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    framerate: Option<f64>,
    samplerate: Option<u32>,
    channel_config: Option<Value>,
    bitrate: Option<u64>,
    lang: Option<String>,
    init_ref: Option<String>,
    init_data: Option<String>,
    timescale: Option<u64>,
}

impl AnyTrack {
    fn channels(&self) -> Option<u32> {
        match &self.channel_config {
            Some(Value::String(text)) => speakers(text),
            Some(Value::Number(number)) => speakers(&number.to_string()),
            _ => None,
        }
    }
}

/// How many there are: a number, a name, or those around, for the bass and above, as in `5.1`.
fn speakers(config: &str) -> Option<u32> {
    match config {
        "mono" => Some(1),
        "stereo" => Some(2),
        _ => config
            .split('.')
            .try_fold(0u32, |sum, part| sum.checked_add(part.parse().ok()?))
            .filter(|count| (1..=255).contains(count)),
    }
}

pub(super) fn read(json: &[u8]) -> Result<Catalog, CatalogError> {
    let root: AnyRoot = serde_json::from_slice(json).map_err(|source| CatalogError::Json {
        format: "MSF",
        source,
    })?;
    let Some(tracks) = root.tracks else {
        let delta = [
            "deltaUpdate",
            "add",
            "remove",
            "clone",
            "update",
            "addTracks",
            "removeTracks",
            "cloneTracks",
        ];
        let is_delta = delta.iter().any(|key| root.rest.contains_key(*key));
        return Err(if is_delta {
            CatalogError::Delta
        } else {
            CatalogError::NoTracks
        });
    };
    match &root.version {
        None => {}
        Some(Value::String(version)) if version.starts_with("draft-") || version == "1" => {}
        Some(Value::Number(version)) if version.as_f64().is_some_and(|version| version == 1.0) => {}
        Some(other) => return Err(CatalogError::Version(other.to_string())),
    }
    check_count(tracks.len())?;
    let mut catalog = Catalog::default();
    for track in tracks {
        match serde_json::from_value::<AnyTrack>(track) {
            Ok(track) => add(&mut catalog, track, &root.init_data_list),
            Err(error) => catalog.skipped.push(format!("a track ({error})")),
        }
    }
    Ok(catalog)
}

fn add(catalog: &mut Catalog, track: AnyTrack, inits: &[InitData]) {
    let mut skip = |name: &str, why: &str| catalog.skipped.push(format!("{name} ({why})"));
    let packaging = track.packaging.as_deref().unwrap_or("no packaging");
    if ![CMAF, LOC].contains(&packaging) {
        return skip(&track.name, packaging);
    }
    let Some(codec) = &track.codec else {
        return skip(&track.name, "no codec");
    };
    let kind = match track.role.as_deref() {
        Some("video") => MediaKind::Video,
        Some("audio" | "audiodescription") => MediaKind::Audio,
        Some(other) => return skip(&track.name, other),
        None if is_audio(codec) => MediaKind::Audio,
        None => MediaKind::Video,
    };
    let by_ref = || {
        let id = track.init_ref.as_ref()?;
        inits
            .iter()
            .find(|init| init.id == *id && init.kind == INLINE)
            .map(|init| init.data.as_str())
    };
    let text = track.init_data.as_deref().or_else(by_ref);
    let init = text.and_then(decode_base64);
    let made = if packaging == CMAF {
        init.map(|init| (init, None))
            .ok_or_else(|| "no init data".to_owned())
    } else if text.is_some() && init.is_none() {
        Err("loc, with a description that is no base64".to_owned())
    } else {
        of_loc(&track, kind, codec, init.as_deref()).map_err(|why| format!("loc, {why}"))
    };
    let (init, framing) = match made {
        Ok(made) => made,
        Err(why) => return skip(&track.name, &why),
    };
    catalog.tracks.push(CatalogTrack {
        kind,
        codec: codec.clone(),
        init,
        framing,
        width: track.width,
        height: track.height,
        framerate: track.framerate,
        sample_rate: track.samplerate,
        channels: track.channels(),
        bitrate: track.bitrate,
        language: track.lang,
        name: track.name,
    });
}

/// The header that is made up for a track in LOC, and its framing.
fn of_loc(
    track: &AnyTrack,
    kind: MediaKind,
    codec: &str,
    record: Option<&[u8]>,
) -> Result<(Bytes, Option<Framing>), &'static str> {
    if record.is_some_and(|record| record.len() > MAX_DESCRIPTION) {
        return Err("with a description too large");
    }
    let described = Described {
        kind,
        codec,
        description: record,
        width: track.width,
        height: track.height,
        sample_rate: track.samplerate,
        channels: track.channels(),
    };
    let per_second = track.timescale.filter(|timescale| *timescale > 0);
    let per_second = per_second.unwrap_or(LOC_TIMESCALE);
    let (init, framing) = bare::header(&described, Time::Property { per_second })?;
    Ok((init, Some(framing)))
}
