//! Writing a fetch stream.

use bytes::BufMut;

use super::{
    DATAGRAM, END_OF_NON_EXISTENT_RANGE, END_OF_UNKNOWN_RANGE, FetchObject, GROUP_DELTA, OBJECT_DELTA,
    PRIORITY, PROPERTIES, RangeStatus, SUBGROUP_EXPLICIT, SUBGROUP_NEXT, SUBGROUP_PRIOR,
};
use crate::wire::data::{FETCH_STREAM, check_properties, encode_properties};
use crate::wire::error::EncodeError;
use crate::wire::parameter::GroupOrder;
use crate::wire::{Location, varint};

/// Writes the heads of objects of a fetch stream, keeping the state that each is relative to.
///
/// [`Self::header`] first, then objects and range markers in the order of the fetch; after each object its payload.
#[derive(Debug)]
pub struct FetchWriter {
    order: GroupOrder,
    /// Of the last object or range marker.
    location: Option<Location>,
    /// Of the last object, `None` if that was of datagrams: readers disagree on what such an object leaves behind.
    subgroup: Option<u64>,
    /// Of the last object.
    priority: Option<u8>,
}

impl FetchWriter {
    /// A writer whose groups go in the order that the FETCH asked for.
    pub const fn new(order: GroupOrder) -> Self {
        Self {
            order,
            location: None,
            subgroup: None,
            priority: None,
        }
    }

    /// Appends stream type and header.
    pub fn header(&self, request_id: u64, buf: &mut impl BufMut) {
        varint::encode(FETCH_STREAM, buf);
        varint::encode(request_id, buf);
    }

    /// Appends the head of an object, up to and with the payload length.
    ///
    /// # Errors
    ///
    /// An object that does not follow the last one in the order of the fetch, or too long a property block. Nothing was
    /// appended then.
    pub fn object(&mut self, object: &FetchObject, buf: &mut impl BufMut) -> Result<(), EncodeError> {
        let (group_delta, object_delta) = self.deltas(object.location)?;
        check_properties(&object.properties)?;
        let (subgroup_flag, subgroup) = self.subgroup_mode(object.subgroup);
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        let flags = subgroup_flag
            | flag(object_delta.is_some(), OBJECT_DELTA)
            | flag(group_delta.is_some(), GROUP_DELTA)
            | flag(self.priority != Some(object.priority), PRIORITY)
            | flag(!object.properties.is_empty(), PROPERTIES);
        varint::encode(flags, buf);
        for field in [group_delta, subgroup, object_delta].into_iter().flatten() {
            varint::encode(field, buf);
        }
        if flags & PRIORITY != 0 {
            buf.put_u8(object.priority);
        }
        if flags & PROPERTIES != 0 {
            encode_properties(&object.properties, buf);
        }
        varint::encode(object.payload_len, buf);
        self.location = Some(object.location);
        self.subgroup = object.subgroup;
        self.priority = Some(object.priority);
        Ok(())
    }

    /// Appends a marker: the objects from the last one up to and with `location` are of this status.
    ///
    /// # Errors
    ///
    /// A location that does not follow the last one in the order of the fetch. Nothing was appended then.
    pub fn end_of_range(
        &mut self,
        location: Location,
        status: RangeStatus,
        buf: &mut impl BufMut,
    ) -> Result<(), EncodeError> {
        self.deltas(location)?;
        let flags = match status {
            RangeStatus::NonExistent => END_OF_NON_EXISTENT_RANGE,
            RangeStatus::Unknown => END_OF_UNKNOWN_RANGE,
        };
        varint::encode(flags, buf);
        location.encode(buf);
        self.location = Some(location);
        Ok(())
    }

    /// Group and object delta of an object at `location`; `None` for a field that can be left out.
    fn deltas(&self, location: Location) -> Result<(Option<u64>, Option<u64>), EncodeError> {
        let Some(prior) = self.location else {
            return Ok((Some(location.group), Some(location.object)));
        };
        if location.group == prior.group {
            return match location.object.checked_sub(prior.object) {
                None | Some(0) => Err(OUT_OF_ORDER),
                Some(1) => Ok((None, None)),
                delta => Ok((None, delta)),
            };
        }
        let distance = match self.order {
            GroupOrder::Ascending => location.group.checked_sub(prior.group),
            GroupOrder::Descending => prior.group.checked_sub(location.group),
        };
        let delta = distance
            .and_then(|distance| distance.checked_sub(1))
            .ok_or(OUT_OF_ORDER)?;
        Ok((Some(delta), Some(location.object)))
    }

    /// How a subgroup is given: the flag, and the field if there is one.
    fn subgroup_mode(&self, subgroup: Option<u64>) -> (u64, Option<u64>) {
        match subgroup {
            None => (DATAGRAM, None),
            Some(0) => (0, None),
            Some(id) if self.subgroup == Some(id) => (SUBGROUP_PRIOR, None),
            Some(id)
                if self
                    .subgroup
                    .is_some_and(|prior| prior.checked_add(1) == Some(id)) =>
            {
                (SUBGROUP_NEXT, None)
            }
            explicit => (SUBGROUP_EXPLICIT, explicit),
        }
    }
}

const OUT_OF_ORDER: EncodeError = EncodeError::Inconsistent("the object does not follow the one before");
