//! Why an MP4 could not be read, in words that say what to try.

use std::io;

use mp4_atom::FourCC;

use crate::media::boxes::BadSize;

/// Why an MP4 could not be read. The reader is of no further use after any of these.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemuxError {
    /// The first bytes are no box of an MP4.
    #[error(
        "not an MP4: it starts with {found}; give an MP4 (.mp4, .m4v, .mov), or let ffmpeg write one with `-f mp4`"
    )]
    NotMp4 {
        /// The first bytes in printable form.
        found: String,
    },
    /// The input ended before its first byte.
    #[error("the input is empty; is the program that writes it running?")]
    Empty,
    /// A pipe delivered media before the index that explains it.
    #[error(
        "this MP4 has its index (moov) at the end, which a pipe cannot use; write it with \
         `-movflags +empty_moov+default_base_moof+frag_every_frame`, or give the file by name"
    )]
    MoovAtEnd,
    /// The whole input was read and no index found.
    #[error("the MP4 has no index (moov); was it cut off while it was written?")]
    NoMoov,
    /// Neither a video nor an audio track.
    #[error("the MP4 has no video and no audio track")]
    NoTracks,
    /// A track in a codec that is not carried.
    #[error(
        "codec '{codec}' ({kind} track {id}) is not supported; convert it, for example with ffmpeg `-c:v libx264 -c:a aac` \
         (supported: H.264, H.265, AV1, VP9, AAC, Opus)"
    )]
    UnsupportedCodec {
        /// Four-character code of the sample entry, or the RFC 6381 string.
        codec: String,
        /// "video" or "audio".
        kind: crate::media::MediaKind,
        /// Track id in the file.
        id: u32,
    },
    /// Video without a place where decoding can start.
    #[error("the video has no keyframe{}; encode with a keyframe every second or two (ffmpeg `-g 60`)", .after.map(|n| format!(" in its first {n} frames")).unwrap_or_default())]
    NoKeyframe {
        /// Frames seen, where the whole is not known.
        after: Option<u32>,
    },
    /// The input ended inside something.
    #[error("the input ended inside {what}; it was cut off")]
    Truncated {
        /// The box or fragment that is not whole.
        what: &'static str,
    },
    /// Larger than the bound we keep.
    #[error("{what} of {size} is over our limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// What the input asks for.
        size: u64,
        /// What we allow.
        limit: u64,
    },
    /// A box that does not decode.
    #[error("the MP4 is damaged: box '{kind}' does not decode")]
    Malformed {
        /// Type of the box.
        kind: FourCC,
        /// What the decoder says.
        #[source]
        source: mp4_atom::Error,
    },
    /// Boxes that decode but contradict each other or the standard.
    #[error("the MP4 is damaged: {0}")]
    Invalid(&'static str),
    /// A box whose size cannot be.
    #[error("the MP4 is damaged: box '{kind}' has an impossible size")]
    BoxSize {
        /// Type of the box.
        kind: FourCC,
    },
    /// The file could not be read.
    #[error("cannot read the file")]
    Io(#[from] io::Error),
}

impl From<BadSize> for DemuxError {
    fn from(BadSize(kind): BadSize) -> Self {
        Self::BoxSize { kind }
    }
}
