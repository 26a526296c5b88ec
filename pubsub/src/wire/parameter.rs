//! Message parameters: a count, then per parameter a type delta and a value whose shape the type fixes.
//!
//! They are not key-value pairs: an unknown type cannot be skipped and closes the session (draft section "Message Parameters").

mod extension;
mod scope;
mod token;

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::name::TrackNamespace;
use crate::wire::property::MAX_VALUE;
use crate::wire::reader::Reader;
use crate::wire::{Location, varint};

pub use extension::{EXTENSION_TYPES, ExtensionParameters};
pub use scope::Scope;

/// Parameter types (draft section "Message Parameters").
mod kind {
    pub(super) const OBJECT_DELIVERY_TIMEOUT: u64 = 0x02;
    pub(super) const AUTHORIZATION_TOKEN: u64 = 0x03;
    pub(super) const RENDEZVOUS_TIMEOUT: u64 = 0x04;
    pub(super) const SUBGROUP_DELIVERY_TIMEOUT: u64 = 0x06;
    pub(super) const EXPIRES: u64 = 0x08;
    pub(super) const LARGEST_OBJECT: u64 = 0x09;
    pub(super) const FILL_TIMEOUT: u64 = 0x0A;
    pub(super) const FORWARD: u64 = 0x10;
    pub(super) const SUBSCRIBER_PRIORITY: u64 = 0x20;
    pub(super) const SUBSCRIPTION_FILTER: u64 = 0x21;
    pub(super) const GROUP_ORDER: u64 = 0x22;
    pub(super) const NEW_GROUP_REQUEST: u64 = 0x32;
    pub(super) const TRACK_NAMESPACE_PREFIX: u64 = 0x34;
}

/// The parameters of one message, typed. Absent means absent on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// OBJECT_DELIVERY_TIMEOUT (0x02), milliseconds.
    pub object_delivery_timeout_ms: Option<u64>,
    /// AUTHORIZATION_TOKEN (0x03), in the order sent.
    pub authorization_tokens: Vec<Token>,
    /// RENDEZVOUS_TIMEOUT (0x04), milliseconds.
    pub rendezvous_timeout_ms: Option<u64>,
    /// SUBGROUP_DELIVERY_TIMEOUT (0x06), milliseconds.
    pub subgroup_delivery_timeout_ms: Option<u64>,
    /// EXPIRES (0x08), milliseconds.
    pub expires_ms: Option<u64>,
    /// LARGEST_OBJECT (0x09).
    pub largest_object: Option<Location>,
    /// FILL_TIMEOUT (0x0A), milliseconds.
    pub fill_timeout_ms: Option<u64>,
    /// FORWARD (0x10).
    pub forward: Option<bool>,
    /// SUBSCRIBER_PRIORITY (0x20); lower is more urgent, 128 if absent.
    pub subscriber_priority: Option<u8>,
    /// SUBSCRIPTION_FILTER (0x21).
    pub filter: Option<Filter>,
    /// GROUP_ORDER (0x22).
    pub group_order: Option<GroupOrder>,
    /// NEW_GROUP_REQUEST (0x32): largest known group plus one, or 0.
    pub new_group_request: Option<u64>,
    /// TRACK_NAMESPACE_PREFIX (0x34).
    pub track_namespace_prefix: Option<TrackNamespace>,
    /// Those of an extension that both ends agreed on in SETUP; the session refuses them otherwise.
    pub extensions: ExtensionParameters,
}

impl Parameters {
    /// Appends count and parameters in ascending order.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Inconsistent`] if a filter ends before it starts.
    pub fn encode(&self, buf: &mut impl BufMut) -> Result<(), EncodeError> {
        varint::encode(self.kinds().count() as u64, buf);
        let mut last = 0;
        let mut tokens = self.authorization_tokens.iter();
        for kind in self.kinds() {
            varint::encode(kind - last, buf);
            last = kind;
            match kind {
                kind::AUTHORIZATION_TOKEN => put_prefixed(buf, |value| {
                    tokens.next().map_or(Ok(()), |token| token.encode(value))
                })?,
                kind::SUBSCRIPTION_FILTER => put_prefixed(buf, |value| {
                    self.filter.map_or(Ok(()), |filter| filter.encode(value))
                })?,
                _ => match self.extensions.get(kind) {
                    Some(value) => put_bytes(buf, value),
                    None => self.encode_plain(kind, buf),
                },
            }
        }
        Ok(())
    }

    /// Appends the value of a parameter that is no structure of its own; nothing if it is absent.
    fn encode_plain(&self, kind: u64, buf: &mut impl BufMut) {
        let byte = match kind {
            kind::FORWARD => self.forward.map(u8::from),
            kind::SUBSCRIBER_PRIORITY => self.subscriber_priority,
            kind::GROUP_ORDER => self.group_order.map(GroupOrder::into_inner),
            _ => None,
        };
        if let Some(byte) = byte {
            buf.put_u8(byte);
        }
        let integer = match kind {
            kind::OBJECT_DELIVERY_TIMEOUT => self.object_delivery_timeout_ms,
            kind::RENDEZVOUS_TIMEOUT => self.rendezvous_timeout_ms,
            kind::SUBGROUP_DELIVERY_TIMEOUT => self.subgroup_delivery_timeout_ms,
            kind::EXPIRES => self.expires_ms,
            kind::FILL_TIMEOUT => self.fill_timeout_ms,
            kind::NEW_GROUP_REQUEST => self.new_group_request,
            _ => None,
        };
        if let Some(integer) = integer {
            varint::encode(integer, buf);
        }
        match (kind, self.largest_object, &self.track_namespace_prefix) {
            (kind::LARGEST_OBJECT, Some(largest), _) => largest.encode(buf),
            (kind::TRACK_NAMESPACE_PREFIX, _, Some(prefix)) => prefix.encode(buf),
            _ => {}
        }
    }

    /// Reads count and parameters. Whether they belong in the message is for [`Self::check`].
    ///
    /// # Errors
    ///
    /// An unknown type, a repeated one, a value the draft forbids, a token without the shape of one.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let count = reader.varint()?;
        let mut parameters = Self::default();
        let mut kind = 0_u64;
        for _ in 0..count {
            kind = kind
                .checked_add(reader.varint()?)
                .ok_or(DecodeError::OutOfRange("parameter type"))?;
            parameters.decode_one(kind, reader)?;
        }
        Ok(parameters)
    }

    /// Reads count and parameters and refuses those that the message may not carry.
    pub(crate) fn decode_in(reader: &mut Reader, scope: Scope) -> Result<Self, DecodeError> {
        let parameters = Self::decode(reader)?;
        parameters.check(scope)?;
        Ok(parameters)
    }

    fn decode_one(&mut self, kind: u64, reader: &mut Reader) -> Result<(), DecodeError> {
        match kind {
            kind::OBJECT_DELIVERY_TIMEOUT => {
                once(&mut self.object_delivery_timeout_ms, kind, reader.varint()?)
            }
            kind::AUTHORIZATION_TOKEN => {
                let token = reader.prefixed("AUTHORIZATION_TOKEN", u64::from(u16::MAX))?;
                self.authorization_tokens.push(Token::decode(token)?);
                Ok(())
            }
            kind::RENDEZVOUS_TIMEOUT => once(&mut self.rendezvous_timeout_ms, kind, reader.varint()?),
            kind::SUBGROUP_DELIVERY_TIMEOUT => {
                once(&mut self.subgroup_delivery_timeout_ms, kind, reader.varint()?)
            }
            kind::EXPIRES => once(&mut self.expires_ms, kind, reader.varint()?),
            kind::LARGEST_OBJECT => once(&mut self.largest_object, kind, reader.location()?),
            kind::FILL_TIMEOUT => once(&mut self.fill_timeout_ms, kind, reader.varint()?),
            kind::FORWARD => {
                let forward = match reader.u8()? {
                    0 => false,
                    1 => true,
                    value => {
                        return Err(DecodeError::InvalidValue {
                            field: "FORWARD",
                            value: value.into(),
                        });
                    }
                };
                once(&mut self.forward, kind, forward)
            }
            kind::SUBSCRIBER_PRIORITY => once(&mut self.subscriber_priority, kind, reader.u8()?),
            kind::SUBSCRIPTION_FILTER => {
                let filter = reader.prefixed("SUBSCRIPTION_FILTER", u64::from(u16::MAX))?;
                once(&mut self.filter, kind, Filter::decode(filter)?)
            }
            kind::GROUP_ORDER => {
                let value = reader.u8()?.into();
                let order = GroupOrder::new(value).ok_or(DecodeError::InvalidValue {
                    field: "GROUP_ORDER",
                    value,
                })?;
                once(&mut self.group_order, kind, order)
            }
            kind::NEW_GROUP_REQUEST => once(&mut self.new_group_request, kind, reader.varint()?),
            kind::TRACK_NAMESPACE_PREFIX => once(
                &mut self.track_namespace_prefix,
                kind,
                TrackNamespace::decode(reader)?,
            ),
            kind if EXTENSION_TYPES.contains(&kind) => {
                let value = reader.prefixed("extension parameter", MAX_VALUE as u64)?;
                self.extensions.fill(kind, value)
            }
            // draft "Message Parameters": unknown ones cannot be skipped.
            value => Err(DecodeError::UnknownType {
                what: "message parameter",
                value,
            }),
        }
    }

    /// Refuses parameters that the message may not carry (draft section "Parameter Scope").
    ///
    /// # Errors
    ///
    /// [`DecodeError::MisplacedParameter`] with the first of them.
    pub fn check(&self, scope: Scope) -> Result<(), DecodeError> {
        match self.kinds().find(|&kind| !scope.allows(kind)) {
            Some(kind) => Err(DecodeError::MisplacedParameter(kind)),
            None => Ok(()),
        }
    }

    /// The types present, ascending, each as often as it is present.
    fn kinds(&self) -> impl Iterator<Item = u64> {
        let single = |kind: u64, present: bool| present.then_some(kind).into_iter();
        let timeouts = single(kind::RENDEZVOUS_TIMEOUT, self.rendezvous_timeout_ms.is_some())
            .chain(single(
                kind::SUBGROUP_DELIVERY_TIMEOUT,
                self.subgroup_delivery_timeout_ms.is_some(),
            ))
            .chain(single(kind::EXPIRES, self.expires_ms.is_some()))
            .chain(single(kind::LARGEST_OBJECT, self.largest_object.is_some()))
            .chain(single(kind::FILL_TIMEOUT, self.fill_timeout_ms.is_some()));
        let delivery = single(kind::FORWARD, self.forward.is_some())
            .chain(single(
                kind::SUBSCRIBER_PRIORITY,
                self.subscriber_priority.is_some(),
            ))
            .chain(single(kind::SUBSCRIPTION_FILTER, self.filter.is_some()))
            .chain(single(kind::GROUP_ORDER, self.group_order.is_some()))
            .chain(single(kind::NEW_GROUP_REQUEST, self.new_group_request.is_some()))
            .chain(single(
                kind::TRACK_NAMESPACE_PREFIX,
                self.track_namespace_prefix.is_some(),
            ));
        single(
            kind::OBJECT_DELIVERY_TIMEOUT,
            self.object_delivery_timeout_ms.is_some(),
        )
        .chain(
            self.authorization_tokens
                .iter()
                .map(|_| kind::AUTHORIZATION_TOKEN),
        )
        .chain(timeouts)
        .chain(delivery)
        .chain(self.extensions.iter().map(|(kind, _)| kind))
    }
}

/// Fills a slot that may be filled once.
fn once<T>(slot: &mut Option<T>, kind: u64, value: T) -> Result<(), DecodeError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(DecodeError::MisplacedParameter(kind)),
    }
}

/// Appends the length of what `write` writes, then that.
fn put_prefixed(
    buf: &mut impl BufMut,
    write: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let mut value = BytesMut::new();
    write(&mut value)?;
    put_bytes(buf, &value);
    Ok(())
}

/// Appends a length and as many bytes.
fn put_bytes(buf: &mut impl BufMut, value: &[u8]) {
    varint::encode(value.len() as u64, buf);
    buf.put_slice(value);
}

/// Which objects of a track a subscription passes (draft section "Subscription Filters").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// From the group after the largest.
    NextGroupStart,
    /// From the object after the largest.
    LargestObject,
    /// From a location.
    AbsoluteStart(Location),
    /// From a location to the end of a group, inclusive.
    AbsoluteRange {
        /// First location.
        start: Location,
        /// Last group; on the wire a delta from `start.group`.
        end_group: u64,
    },
}

impl Filter {
    /// Appends type and fields, without the length that precedes them in a parameter.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Inconsistent`] if the end group is smaller than the start's.
    pub fn encode(&self, buf: &mut impl BufMut) -> Result<(), EncodeError> {
        match *self {
            Self::NextGroupStart => varint::encode(0x1, buf),
            Self::LargestObject => varint::encode(0x2, buf),
            Self::AbsoluteStart(start) => {
                varint::encode(0x3, buf);
                start.encode(buf);
            }
            Self::AbsoluteRange { start, end_group } => {
                let delta = end_group.checked_sub(start.group);
                varint::encode(0x4, buf);
                start.encode(buf);
                varint::encode(
                    delta.ok_or(EncodeError::Inconsistent("the filter ends before it starts"))?,
                    buf,
                );
            }
        }
        Ok(())
    }

    /// Reads a filter that fills `bytes`.
    ///
    /// # Errors
    ///
    /// An unknown type, an end group beyond 2^64 - 1, missing or leftover bytes.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let filter = match reader.varint()? {
            0x1 => Self::NextGroupStart,
            0x2 => Self::LargestObject,
            0x3 => Self::AbsoluteStart(reader.location()?),
            0x4 => {
                let start = reader.location()?;
                let end_group = start
                    .group
                    .checked_add(reader.varint()?)
                    .ok_or(DecodeError::OutOfRange("end group"))?;
                Self::AbsoluteRange { start, end_group }
            }
            value => {
                return Err(DecodeError::UnknownType {
                    what: "filter",
                    value,
                });
            }
        };
        reader.finish()?;
        Ok(filter)
    }
}

/// In which order groups are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GroupOrder {
    /// Lower Group IDs first (0x1).
    #[default]
    Ascending,
    /// Higher Group IDs first (0x2).
    Descending,
}

impl GroupOrder {
    /// The order that a number on the wire stands for.
    pub const fn new(value: u64) -> Option<Self> {
        match value {
            0x1 => Some(Self::Ascending),
            0x2 => Some(Self::Descending),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn into_inner(self) -> u8 {
        match self {
            Self::Ascending => 0x1,
            Self::Descending => 0x2,
        }
    }
}

/// An authorization token or a reference to one. `Debug` hides the value.
#[derive(Clone, PartialEq, Eq)]
pub enum Token {
    /// Forget an alias.
    Delete {
        /// The alias.
        alias: u64,
    },
    /// Remember a token under an alias, and use it.
    Register {
        /// The alias.
        alias: u64,
        /// Token type; 0: agreed out of band.
        kind: u64,
        /// Token value.
        value: Bytes,
    },
    /// Use a remembered token.
    UseAlias {
        /// The alias.
        alias: u64,
    },
    /// Use this token.
    UseValue {
        /// Token type; 0: agreed out of band.
        kind: u64,
        /// Token value.
        value: Bytes,
    },
}

#[cfg(test)]
mod tests;
