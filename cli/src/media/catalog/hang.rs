//! The hang catalog of moq-dev: renditions by name, under `video` and `audio`.
//!
//! In CMAF the decoder's configuration is in the header, so `description` is not read then. It is written where moq-dev's readers
//! decide by it: H.264 and H.265 without one count as byte streams with start codes, as in the framing called legacy.

use std::collections::BTreeMap;

use bytes::Bytes;
use mp4_atom::FourCC;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Catalog, CatalogError, CatalogTrack, check_count, decode_base64, encode_base64};
use crate::media::MediaKind;
use crate::media::bare::{self, Described, Framing, MAX_DESCRIPTION, Time};
use crate::media::boxes::Children;

const CMAF: &str = "cmaf";
/// Each object a time and a frame; also what is meant where no container is named.
const LEGACY: &str = "legacy";
/// Bytes of a video sample entry before its boxes (ISO/IEC 14496-12, "Visual sample entry").
const VISUAL_FIELDS: usize = 78;

#[derive(Debug, Default, Serialize)]
struct Root<'a> {
    video: Section<Video<'a>>,
    audio: Section<Audio<'a>>,
}

#[derive(Debug, Serialize)]
struct Section<T> {
    renditions: BTreeMap<String, T>,
}

impl<T> Default for Section<T> {
    fn default() -> Self {
        Self {
            renditions: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Container {
    kind: &'static str,
    init: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Video<'a> {
    codec: &'a str,
    container: Container,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coded_width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coded_height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    framerate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bitrate: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Audio<'a> {
    codec: &'a str,
    container: Container,
    sample_rate: u32,
    number_of_channels: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    bitrate: Option<u64>,
}

/// The decoder configuration record of H.264 and H.265 in a CMAF header, in hexadecimal.
fn description(init: &[u8]) -> Option<String> {
    let mut body = init;
    for kind in [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"] {
        body = child(body, kind)?;
    }
    // Version, flags and count come before the entries, of which there is one.
    let entry = Children(body.get(8..)?).next()?.ok()?;
    let boxes = entry.body.get(VISUAL_FIELDS..)?;
    let record = child(boxes, b"avcC").or_else(|| child(boxes, b"hvcC"))?;
    let digits = record.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    Some(
        digits
            .filter_map(|digit| char::from_digit(digit.into(), 16))
            .collect(),
    )
}

fn child<'a>(boxes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    let mut children = Children(boxes).map_while(Result::ok);
    children
        .find(|child| child.kind == FourCC::new(kind))
        .map(|child| child.body)
}

pub(super) fn write(catalog: &Catalog) -> Bytes {
    let mut root = Root::default();
    for track in &catalog.tracks {
        let container = Container {
            kind: CMAF,
            init: encode_base64(&track.init),
        };
        let (codec, bitrate) = (track.codec.as_str(), track.bitrate);
        match track.kind {
            MediaKind::Video => {
                let framerate = track.framerate.filter(|rate| rate.is_finite());
                let (coded_width, coded_height) = (track.width, track.height);
                let video = Video {
                    codec,
                    container,
                    description: description(&track.init),
                    coded_width,
                    coded_height,
                    framerate,
                    bitrate,
                };
                root.video.renditions.insert(track.name.clone(), video);
            }
            MediaKind::Audio => {
                // Both are required by readers; the header in `container` is what a decoder goes by.
                let sample_rate = track.sample_rate.unwrap_or(48_000);
                let number_of_channels = track.channels.unwrap_or(2);
                let audio = Audio {
                    codec,
                    container,
                    sample_rate,
                    number_of_channels,
                    bitrate,
                };
                root.audio.renditions.insert(track.name.clone(), audio);
            }
        }
    }
    // Strings, numbers and finite floats always serialise.
    serde_json::to_vec(&root).unwrap_or_default().into()
}

#[derive(Debug, Deserialize)]
struct AnyRoot {
    #[serde(default)]
    video: Option<AnySection>,
    #[serde(default)]
    audio: Option<AnySection>,
}

#[derive(Debug, Deserialize)]
struct AnySection {
    #[serde(default)]
    renditions: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyRendition {
    codec: String,
    container: Option<AnyContainer>,
    broadcast: Option<Value>,
    description: Option<String>,
    coded_width: Option<u32>,
    coded_height: Option<u32>,
    framerate: Option<f64>,
    sample_rate: Option<u32>,
    number_of_channels: Option<u32>,
    bitrate: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct AnyContainer {
    kind: Option<String>,
    #[serde(alias = "initData")]
    init: Option<String>,
}

pub(super) fn read(json: &[u8]) -> Result<Catalog, CatalogError> {
    let root: AnyRoot = serde_json::from_slice(json).map_err(|source| CatalogError::Json {
        format: "hang",
        source,
    })?;
    let video = root
        .video
        .into_iter()
        .flat_map(|section| section.renditions)
        .map(|pair| (MediaKind::Video, pair));
    let audio = root
        .audio
        .into_iter()
        .flat_map(|section| section.renditions)
        .map(|pair| (MediaKind::Audio, pair));
    let all: Vec<_> = video.chain(audio).collect();
    check_count(all.len())?;
    let mut catalog = Catalog::default();
    for (kind, (name, rendition)) in all {
        match serde_json::from_value::<AnyRendition>(rendition) {
            Ok(rendition) => add(&mut catalog, kind, name, rendition),
            Err(error) => catalog.skipped.push(format!("{name} ({error})")),
        }
    }
    Ok(catalog)
}

fn add(catalog: &mut Catalog, kind: MediaKind, name: String, rendition: AnyRendition) {
    let made = if rendition.broadcast.is_some() {
        Err("in another broadcast".to_owned())
    } else {
        header(kind, &rendition)
    };
    let (init, framing) = match made {
        Ok(made) => made,
        Err(why) => {
            catalog.skipped.push(format!("{name} ({why})"));
            return;
        }
    };
    catalog.tracks.push(CatalogTrack {
        name,
        kind,
        codec: rendition.codec,
        init,
        framing,
        width: rendition.coded_width,
        height: rendition.coded_height,
        framerate: rendition.framerate,
        sample_rate: rendition.sample_rate,
        channels: rendition.number_of_channels,
        bitrate: rendition.bitrate,
        language: None,
    });
}

/// The CMAF header: the one in the catalog, or one made up for bare frames.
fn header(kind: MediaKind, rendition: &AnyRendition) -> Result<(Bytes, Option<Framing>), String> {
    let container = rendition.container.as_ref();
    let packaging = container.and_then(|container| container.kind.as_deref());
    match packaging.unwrap_or(LEGACY) {
        CMAF => {
            let init = container.and_then(|container| container.init.as_deref());
            let init = init.and_then(decode_base64).ok_or("no init data")?;
            Ok((init, None))
        }
        LEGACY => {
            let description = match rendition.description.as_deref() {
                Some(digits) if digits.len() > 2 * MAX_DESCRIPTION => {
                    return Err("description too long".to_owned());
                }
                Some(digits) => Some(hex(digits).ok_or("description in no hexadecimal digits")?),
                None => None,
            };
            let described = Described {
                kind,
                codec: &rendition.codec,
                description: description.as_deref(),
                width: rendition.coded_width,
                height: rendition.coded_height,
                sample_rate: rendition.sample_rate,
                channels: rendition.number_of_channels,
            };
            let made = bare::header(&described, Time::Front);
            let (init, framing) = made.map_err(|why| format!("legacy, {why}"))?;
            Ok((init, Some(framing)))
        }
        other => Err(other.to_owned()),
    }
}

/// Pairs of hexadecimal digits as bytes.
fn hex(digits: &str) -> Option<Vec<u8>> {
    let nibbles: Vec<u8> = digits
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok()))
        .collect::<Option<_>>()?;
    let mut pairs = nibbles.chunks_exact(2);
    let bytes = pairs
        .by_ref()
        .filter_map(|pair| Some(pair.first()? << 4 | pair.last()?));
    let bytes = bytes.collect();
    pairs.remainder().is_empty().then_some(bytes)
}
