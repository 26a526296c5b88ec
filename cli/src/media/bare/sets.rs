//! Which parameter sets of H.264 and H.265 a keyframe needs in front of it.
//!
//! They come in the header, in the properties of an object, or in the stream itself. A decoder keeps the newest. Those of properties
//! are put before each keyframe, so that one may begin at any; those of the stream are left where the publisher has them.

use bytes::Bytes;

use super::{Codec, FrameError, Parameters, units};

/// Where the parameter sets in force are from.
#[derive(Debug, Default)]
enum Source {
    /// Nothing else has come yet.
    #[default]
    Header,
    /// Each behind its length in four bytes.
    Properties(Bytes),
    Stream,
}

/// What objects have brought so far.
#[derive(Debug, Default)]
pub(super) struct Sets {
    config: Option<Parameters>,
    source: Source,
}

impl Sets {
    /// Takes the configuration with an object; `header` is that of the header.
    pub(super) fn take(&mut self, config: Parameters, header: Option<&Parameters>) {
        let same =
            matches!(self.source, Source::Header) && header.map(Parameters::sets) == Some(config.sets());
        if !config.sets().is_empty() && !same {
            self.source = Source::Properties(config.sets().clone());
        }
        self.config = Some(config);
    }

    /// The newest configuration.
    pub(super) fn config<'a>(&'a self, header: Option<&'a Parameters>) -> Option<&'a Parameters> {
        self.config.as_ref().or(header)
    }

    /// A keyframe behind the parameter sets to decode it with, where they are not there already.
    pub(super) fn complete(
        &mut self,
        codec: Codec,
        keyframe: Bytes,
        header: Option<&Parameters>,
    ) -> Result<Bytes, FrameError> {
        if units::has_parameters(codec, &keyframe) {
            self.source = Source::Stream;
        }
        match &self.source {
            Source::Properties(sets) => Ok([sets.as_ref(), &keyframe].concat().into()),
            Source::Header if header.is_none_or(|header| header.sets().is_empty()) => {
                Err(FrameError::NoParameters)
            }
            Source::Header | Source::Stream => Ok(keyframe),
        }
    }
}
