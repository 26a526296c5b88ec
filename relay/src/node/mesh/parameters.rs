//! The overlay's own message parameters: legal only between neighbours, seen by nobody else.

use bytes::Bytes;
use headwater_pubsub::wire::parameter::ExtensionParameters;
use headwater_pubsub::wire::{Location, Parameters, varint};

use crate::hub::Origin;
use crate::overlay::core::Feed;
use crate::overlay::id::NodeId;

/// Whose publishers are meant: a node id.
const ORIGIN: u64 = 0x4857_0000;
/// From where on objects are wanted, those that the neighbour has in its cache included: group and object.
const RESUME: u64 = 0x4857_0001;
/// What the subscription is for: one byte.
const FEED: u64 = 0x4857_0002;
/// The answer of the mesh's authority.
pub(super) const ANSWER: u64 = 0x4857_0003;

const TENTATIVE: u8 = 1;

/// What a neighbour asks beside the draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Whose publishers are meant.
    pub(crate) origin: NodeId,
    /// From where on.
    pub(crate) resume: Option<Location>,
    /// What for.
    pub(crate) feed: Feed,
}

/// Overlay parameters that do not make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unreadable overlay parameters")]
pub(crate) struct Unreadable;

impl Asked {
    /// The publishers of an origin and nothing more.
    pub(super) const fn plainly(origin: NodeId) -> Self {
        Self {
            origin,
            resume: None,
            feed: Feed::Normal,
        }
    }

    /// From the parameters of a request; `None` without ORIGIN.
    pub(crate) fn read(parameters: &Parameters) -> Result<Option<Self>, Unreadable> {
        let extensions = &parameters.extensions;
        let Some(origin) = extensions.get(ORIGIN) else {
            return if extensions.is_empty() {
                Ok(None)
            } else {
                Err(Unreadable)
            };
        };
        let origin = NodeId(origin[..].try_into().map_err(|_wrong_length| Unreadable)?);
        let resume = extensions.get(RESUME).map(read_location).transpose()?;
        let feed = match extensions.get(FEED).map(|feed| &feed[..]) {
            None | Some([0]) => Feed::Normal,
            Some([TENTATIVE]) => Feed::Tentative,
            Some(_) => return Err(Unreadable),
        };
        Ok(Some(Self { origin, resume, feed }))
    }

    /// As parameters of a request.
    pub(super) fn write(&self) -> ExtensionParameters {
        let mut extensions = ExtensionParameters::empty();
        let mut put = |kind, value: Bytes| {
            // The types are those of extensions and the values are short.
            let _fits = extensions.insert(kind, value).is_ok();
        };
        put(ORIGIN, Bytes::copy_from_slice(&self.origin.0));
        if let Some(resume) = self.resume {
            let mut value = bytes::BytesMut::new();
            varint::encode(resume.group, &mut value);
            varint::encode(resume.object, &mut value);
            put(RESUME, value.freeze());
        }
        if self.feed == Feed::Tentative {
            put(FEED, Bytes::from_static(&[TENTATIVE]));
        }
        extensions
    }
}

/// From where on a subscription is wanted that was handed on as it came.
pub(crate) fn resume(parameters: &Parameters) -> Option<Location> {
    parameters
        .extensions
        .get(RESUME)
        .and_then(|value| read_location(value).ok())
}

/// The hub's word for an origin.
pub(crate) fn origin(origin: NodeId, me: NodeId) -> Origin {
    if origin == me {
        Origin::Here
    } else {
        Origin::Node(origin)
    }
}

fn read_location(value: &Bytes) -> Result<Location, Unreadable> {
    let mut reader = headwater_pubsub::wire::reader::Reader::new(value.clone());
    let location = reader.location().map_err(|_short| Unreadable)?;
    reader.finish().map_err(|_long| Unreadable)?;
    Ok(location)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_comes_back() {
        for resume in [None, Some(Location::new(7, u64::MAX >> 2))] {
            for feed in [Feed::Normal, Feed::Tentative] {
                let asked = Asked {
                    origin: NodeId([9; 32]),
                    resume,
                    feed,
                };
                let parameters = Parameters {
                    extensions: asked.write(),
                    ..Parameters::default()
                };
                assert_eq!(Asked::read(&parameters), Ok(Some(asked)));
            }
        }
        assert_eq!(Asked::read(&Parameters::default()), Ok(None));
    }

    #[test]
    fn nonsense_is_refused() {
        for (kind, value) in [(ORIGIN, &[1; 31][..]), (RESUME, &[1]), (FEED, &[9])] {
            let mut parameters = Parameters {
                extensions: Asked {
                    origin: NodeId([9; 32]),
                    resume: None,
                    feed: Feed::Normal,
                }
                .write(),
                ..Parameters::default()
            };
            let value = Bytes::from_static(value);
            parameters.extensions.insert(kind, value).unwrap();
            assert_eq!(Asked::read(&parameters), Err(Unreadable), "{kind:x}");
        }
        let mut parameters = Parameters::default();
        let value = Bytes::from_static(&[0]);
        parameters.extensions.insert(FEED, value).unwrap();
        assert_eq!(Asked::read(&parameters), Err(Unreadable), "without an origin");
    }
}
