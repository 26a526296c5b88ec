//! Reading a fetch stream.

use bytes::Bytes;

use super::{
    DATAGRAM, END_OF_NON_EXISTENT_RANGE, END_OF_UNKNOWN_RANGE, FLAGS_END, FetchEvent, FetchObject,
    GROUP_DELTA, OBJECT_DELTA, PRIORITY, PROPERTIES, RangeStatus, SUBGROUP_EXPLICIT, SUBGROUP_MODE,
    SUBGROUP_NEXT, SUBGROUP_PRIOR,
};
use crate::wire::data::input::{Head, Input, Stop};
use crate::wire::data::{StreamType, decode_properties};
use crate::wire::error::DecodeError;
use crate::wire::parameter::GroupOrder;
use crate::wire::property::Properties;
use crate::wire::{Location, Version};

/// Reads a fetch stream from its first byte.
///
/// After each [`Self::push`], call [`Self::poll`] until it gives `None`, and [`Self::finish`] when the stream ended with a
/// FIN. After an error the stream cannot be read on. Whether locations lie in the range asked for is not checked here.
#[derive(Debug)]
pub struct FetchReader {
    input: Input,
    order: GroupOrder,
    has_header: bool,
    prior: Prior,
    payload_left: u64,
}

/// What the next object may refer to.
#[derive(Clone, Copy, Debug, Default)]
struct Prior {
    /// Of the last object or range marker.
    location: Option<Location>,
    /// Of the last object that had one. An object of datagrams has none; whether it leaves the one before standing is not
    /// said, and to let it stand refuses nobody.
    subgroup: Option<u64>,
    /// Of the last object.
    priority: Option<u8>,
}

/// An object or a range marker.
enum Item {
    Object(FetchObject),
    Range(RangeStatus, Location),
}

impl FetchReader {
    /// A reader at the first byte of a stream, its type. `order` is the one that the FETCH asked for: deltas go its way.
    pub fn new(_version: Version, order: GroupOrder) -> Self {
        Self {
            input: Input::default(),
            order,
            has_header: false,
            prior: Prior::default(),
            payload_left: 0,
        }
    }

    /// Adds bytes that follow those pushed before.
    pub fn push(&mut self, bytes: Bytes) {
        self.input.push(bytes);
    }

    /// The next event; `None`: more bytes are needed.
    ///
    /// # Errors
    ///
    /// What the peer did wrong.
    pub fn poll(&mut self) -> Result<Option<FetchEvent>, DecodeError> {
        if !self.has_header {
            let request_id = self.input.head(decode_header)?;
            self.has_header = request_id.is_some();
            return Ok(request_id.map(|request_id| FetchEvent::Header { request_id }));
        }
        if self.payload_left > 0 {
            let Some(payload) = self.input.payload(self.payload_left) else {
                return Ok(None);
            };
            self.payload_left -= payload.len() as u64;
            return Ok(Some(FetchEvent::Payload(payload)));
        }
        let (prior, order) = (self.prior, self.order);
        let item = self.input.head(|head| prior.decode(order, head))?;
        Ok(item.map(|item| self.accept(item)))
    }

    fn accept(&mut self, item: Item) -> FetchEvent {
        match item {
            Item::Object(object) => {
                self.prior.location = Some(object.location);
                self.prior.subgroup = object.subgroup.or(self.prior.subgroup);
                self.prior.priority = Some(object.priority);
                self.payload_left = object.payload_len;
                FetchEvent::Object(object)
            }
            Item::Range(status, location) => {
                self.prior.location = Some(location);
                match status {
                    RangeStatus::NonExistent => FetchEvent::EndOfNonExistentRange(location),
                    RangeStatus::Unknown => FetchEvent::EndOfUnknownRange(location),
                }
            }
        }
    }

    /// Whether the stream stands in the middle of its header or of an object.
    pub fn in_object(&self) -> bool {
        !self.has_header || self.payload_left > 0 || !self.input.is_empty()
    }

    /// Accepts a FIN, once polled dry.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] in the middle of the header or of an object (draft section "Streams").
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.in_object() {
            Err(DecodeError::Truncated)
        } else {
            Ok(())
        }
    }
}

fn decode_header(head: &mut Head<'_>) -> Result<u64, Stop> {
    let value = head.varint()?;
    match StreamType::new(value)? {
        StreamType::Fetch => head.varint(),
        StreamType::Control | StreamType::Subgroup(_) | StreamType::Padding => {
            Err(DecodeError::UnknownType {
                what: "fetch header",
                value,
            }
            .into())
        }
    }
}

const NO_PRIOR: DecodeError = DecodeError::Misplaced("a fetched object refers to one that is not there");

impl Prior {
    fn decode(self, order: GroupOrder, head: &mut Head<'_>) -> Result<Item, Stop> {
        let range = match head.varint()? {
            END_OF_NON_EXISTENT_RANGE => RangeStatus::NonExistent,
            END_OF_UNKNOWN_RANGE => RangeStatus::Unknown,
            flags if flags < FLAGS_END => return Ok(Item::Object(self.decode_object(flags, order, head)?)),
            value => {
                return Err(DecodeError::UnknownType {
                    what: "serialization flags",
                    value,
                }
                .into());
            }
        };
        // draft "End of Range" leaves open whether these are deltas and whether a payload length follows. A delta could not
        // name the group of the last object, where most ranges begin; implementations agree on absolute IDs and no length
        // (moq-wg/moq-transport#1861).
        Ok(Item::Range(range, Location::new(head.varint()?, head.varint()?)))
    }

    fn decode_object(self, flags: u64, order: GroupOrder, head: &mut Head<'_>) -> Result<FetchObject, Stop> {
        let has_group = flags & GROUP_DELTA != 0;
        let group = match (self.location, has_group) {
            (None, true) => head.varint()?,
            (None, false) => return Err(NO_PRIOR.into()),
            (Some(prior), true) => next_group(prior.group, head.varint()?, order)?,
            (Some(prior), false) => prior.group,
        };
        let subgroup = if flags & DATAGRAM == 0 {
            Some(self.decode_subgroup(flags, head)?)
        } else {
            None
        };
        let object = match (self.location, flags & OBJECT_DELTA != 0) {
            (None, true) => head.varint()?,
            (None, false) => return Err(NO_PRIOR.into()),
            (Some(_), true) if has_group => head.varint()?,
            (Some(prior), true) => in_range(prior.object.checked_add(head.varint()?), "Object ID")?,
            (Some(prior), false) => in_range(prior.object.checked_add(1), "Object ID")?,
        };
        let priority = if flags & PRIORITY == 0 {
            self.priority.ok_or(NO_PRIOR)?
        } else {
            head.u8()?
        };
        let properties = if flags & PROPERTIES == 0 {
            Properties::empty()
        } else {
            decode_properties(head)?
        };
        let location = Location::new(group, object);
        Ok(FetchObject {
            location,
            subgroup,
            priority,
            properties,
            payload_len: head.varint()?,
        })
    }

    fn decode_subgroup(self, flags: u64, head: &mut Head<'_>) -> Result<u64, Stop> {
        match flags & SUBGROUP_MODE {
            SUBGROUP_PRIOR => Ok(self.subgroup.ok_or(NO_PRIOR)?),
            SUBGROUP_NEXT => Ok(in_range(
                self.subgroup.ok_or(NO_PRIOR)?.checked_add(1),
                "Subgroup ID",
            )?),
            SUBGROUP_EXPLICIT => head.varint(),
            _ => Ok(0),
        }
    }
}

fn next_group(prior: u64, delta: u64, order: GroupOrder) -> Result<u64, DecodeError> {
    let distance = delta.checked_add(1);
    let group = match order {
        GroupOrder::Ascending => distance.and_then(|distance| prior.checked_add(distance)),
        GroupOrder::Descending => distance.and_then(|distance| prior.checked_sub(distance)),
    };
    in_range(group, "Group ID")
}

fn in_range(id: Option<u64>, field: &'static str) -> Result<u64, DecodeError> {
    id.ok_or(DecodeError::OutOfRange(field))
}
