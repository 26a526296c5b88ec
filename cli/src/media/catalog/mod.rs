//! Catalogs: what tracks a broadcast has. One [`Catalog`], two JSON forms of it.
//!
//! MSF: draft-ietf-moq-msf-01 with CMAF packaging of draft-ietf-moq-cmsf, on the track [`MSF_TRACK`].
//! hang: the catalog of moq-dev, on the track [`HANG_TRACK`]. Both can carry the same CMAF tracks, so a broadcast
//! is published once and described twice.
//!
//! Reading is tolerant: unknown fields are passed over, tracks in a packaging we cannot write into an MP4 are left out
//! and named. LOC and what hang calls legacy can be written ([`Framing`]); they are never published. Not read: delta updates, the
//! compressed hang catalog, LOC in hang catalogs (moq-dev has its properties in the payload), captions.

mod hang;
mod msf;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use bytes::Bytes;

use super::bare::Framing;
use super::{EncodeError, MediaKind, TrackInfo, init_segment};

/// Name of the track that carries the MSF catalog.
pub const MSF_TRACK: &str = "catalog";
/// Name of the track that carries the hang catalog.
pub const HANG_TRACK: &str = "catalog.json";
/// Largest catalog we read, in bytes.
pub const MAX_CATALOG: usize = 1 << 20;
/// Most tracks we read from a catalog.
pub const MAX_CATALOG_TRACKS: usize = 64;

/// The audio and video tracks of a broadcast.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    /// The tracks that can be written into an MP4, in the order of the catalog.
    pub tracks: Vec<CatalogTrack>,
    /// Names of tracks that the catalog lists but we cannot use, each with the reason in brackets.
    pub skipped: Vec<String>,
}

/// One track of a broadcast.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogTrack {
    /// Track name within the broadcast's namespace.
    pub name: String,
    /// Video or audio.
    pub kind: MediaKind,
    /// The codec as in RFC 6381.
    pub codec: String,
    /// CMAF header: `ftyp` + `moov`.
    pub init: Bytes,
    /// What its objects are if they are no CMAF; `init` is made up then.
    pub framing: Option<Framing>,
    /// Width of the coded picture in pixels.
    pub width: Option<u32>,
    /// Height of the coded picture in pixels.
    pub height: Option<u32>,
    /// Frames per second.
    pub framerate: Option<f64>,
    /// Samples per second.
    pub sample_rate: Option<u32>,
    /// Number of channels.
    pub channels: Option<u32>,
    /// Bits per second.
    pub bitrate: Option<u64>,
    /// Language tag, where the catalog gives one.
    pub language: Option<String>,
}

/// Why a catalog could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// Larger than [`MAX_CATALOG`].
    #[error("the catalog has {0} bytes, more than our limit of {MAX_CATALOG}")]
    TooLarge(usize),
    /// More than [`MAX_CATALOG_TRACKS`] tracks.
    #[error("the catalog lists {0} tracks, more than our limit of {MAX_CATALOG_TRACKS}")]
    TooManyTracks(usize),
    /// No JSON, or not of the catalog's shape.
    #[error("the catalog is no valid {format} JSON")]
    Json {
        /// "MSF" or "hang".
        format: &'static str,
        /// What and where.
        #[source]
        source: serde_json::Error,
    },
    /// A delta update, which says nothing without the catalog before it. Read the first object of the group instead.
    #[error("the catalog object is a delta update, not a whole catalog")]
    Delta,
    /// A version of the format that we do not know.
    #[error("the catalog has version {0}, which is not known here (known: draft-00, draft-01)")]
    Version(String),
    /// Tracks are listed, none of them usable.
    #[error("no track of the catalog is in a packaging that is understood here (cmaf, loc, or legacy of hang): {}", .0.join(", "))]
    NothingUsable(Vec<String>),
    /// No track is listed.
    #[error("the catalog lists no video and no audio track (yet)")]
    NoTracks,
}

impl CatalogTrack {
    /// The description of `track`, to be published as `name`.
    ///
    /// # Errors
    /// The CMAF header of the track cannot be written.
    pub fn new(name: impl Into<String>, track: &TrackInfo) -> Result<Self, EncodeError> {
        Ok(Self {
            name: name.into(),
            kind: track.kind,
            codec: track.codec.clone(),
            init: init_segment(track)?,
            framing: None,
            width: track.width,
            height: track.height,
            framerate: track.framerate,
            sample_rate: track.sample_rate,
            channels: track.channels,
            bitrate: track.bitrate,
            language: (track.language != "und" && !track.language.is_empty()).then(|| track.language.clone()),
        })
    }
}

impl Catalog {
    /// The catalog of `tracks`, named by kind and number: `video0`, `audio0`, `audio1`.
    ///
    /// # Errors
    /// A track's CMAF header cannot be written.
    pub fn of(tracks: &[TrackInfo]) -> Result<Self, EncodeError> {
        let mut catalog = Self::default();
        for track in tracks {
            let number = catalog
                .tracks
                .iter()
                .filter(|other| other.kind == track.kind)
                .count();
            catalog
                .tracks
                .push(CatalogTrack::new(format!("{}{number}", track.kind), track)?);
        }
        Ok(catalog)
    }

    /// The MSF form, for the first object of a group on [`MSF_TRACK`].
    #[must_use]
    pub fn to_msf(&self) -> Bytes {
        msf::write(self)
    }

    /// The hang form, for the first object of a group on [`HANG_TRACK`].
    #[must_use]
    pub fn to_hang(&self) -> Bytes {
        hang::write(self)
    }

    /// Reads the MSF form, draft-00 or draft-01.
    ///
    /// # Errors
    /// Too large, no such JSON, a delta, or without a usable track.
    pub fn parse_msf(json: &[u8]) -> Result<Self, CatalogError> {
        checked(json).and_then(msf::read)?.usable()
    }

    /// Reads the hang form.
    ///
    /// # Errors
    /// Too large, no such JSON, or without a usable track.
    pub fn parse_hang(json: &[u8]) -> Result<Self, CatalogError> {
        checked(json).and_then(hang::read)?.usable()
    }

    fn usable(self) -> Result<Self, CatalogError> {
        match (self.tracks.is_empty(), self.skipped.is_empty()) {
            (false, _) => Ok(self),
            (true, true) => Err(CatalogError::NoTracks),
            (true, false) => Err(CatalogError::NothingUsable(self.skipped)),
        }
    }
}

fn checked(json: &[u8]) -> Result<&[u8], CatalogError> {
    if json.len() > MAX_CATALOG {
        Err(CatalogError::TooLarge(json.len()))
    } else {
        Ok(json)
    }
}

fn check_count(tracks: usize) -> Result<(), CatalogError> {
    if tracks > MAX_CATALOG_TRACKS {
        Err(CatalogError::TooManyTracks(tracks))
    } else {
        Ok(())
    }
}

/// Padding or none, both are written by others.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn decode_base64(text: &str) -> Option<Bytes> {
    LENIENT.decode(text.trim()).ok().map(Bytes::from)
}

fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// True if the codec string is one for sound.
fn is_audio(codec: &str) -> bool {
    let four = codec.split('.').next().unwrap_or_default();
    ["mp4a", "opus", "ac-3", "ec-3", "flac", "mp3"]
        .iter()
        .any(|audio| four.eq_ignore_ascii_case(audio))
}
