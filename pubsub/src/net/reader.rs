//! Objects put together for an application that reads them whole.

use bytes::{Bytes, BytesMut};

use crate::wire::{
    Location, Properties,
    data::{Datagram, FetchEvent, ObjectStatus, SubgroupEvent, SubgroupHeader, SubgroupId, SubgroupObject},
};

/// Largest object that a reader puts together; larger ones are skipped.
pub const MAX_READ_OBJECT: u64 = 64 << 20;

/// An object as an end subscriber gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedObject {
    /// Where it stands in the track.
    pub location: Location,
    /// Subgroup ID; `None`: it came as a datagram.
    pub subgroup: Option<u64>,
    /// Publisher priority; `None`: the track's default.
    pub priority: Option<u8>,
    /// Object properties, as received.
    pub properties: Properties,
    /// Normal, or the mark of an end. A mark has no payload; for [`ObjectStatus::EndOfGroup`] the location's object is the
    /// first that does not exist.
    pub status: ObjectStatus,
    /// The payload.
    pub payload: Bytes,
}

impl From<Datagram> for ReceivedObject {
    fn from(datagram: Datagram) -> Self {
        Self {
            location: Location::new(datagram.group, datagram.object),
            subgroup: None,
            priority: datagram.priority,
            properties: datagram.properties,
            status: datagram.status,
            payload: datagram.payload,
        }
    }
}

/// Puts the objects of one data stream together.
pub(crate) struct Assembler {
    header: Option<SubgroupHeader>,
    first_object: Option<u64>,
    last_object: Option<u64>,
    current: Option<Partial>,
}

struct Partial {
    object: ReceivedObject,
    missing: u64,
    payload: Payload,
}

/// A payload that arrives in one piece is passed on as it is.
enum Payload {
    None,
    One(Bytes),
    Many(BytesMut),
    TooLarge,
}

impl Assembler {
    pub(crate) fn subgroup(header: SubgroupHeader) -> Self {
        Self {
            header: Some(header),
            first_object: None,
            last_object: None,
            current: None,
        }
    }

    pub(crate) fn fetch() -> Self {
        Self {
            header: None,
            first_object: None,
            last_object: None,
            current: None,
        }
    }

    /// Feed an event of a subgroup stream; an object when it is whole.
    pub(crate) fn subgroup_event(&mut self, event: SubgroupEvent) -> Option<ReceivedObject> {
        match event {
            SubgroupEvent::Header(_) => None,
            SubgroupEvent::Object(object) => self.begin_subgroup(object),
            SubgroupEvent::Payload(bytes) => self.payload(bytes),
        }
    }

    fn begin_subgroup(&mut self, object: SubgroupObject) -> Option<ReceivedObject> {
        let header = self.header?;
        let first = *self.first_object.get_or_insert(object.id);
        self.last_object = Some(object.id);
        let subgroup = match header.subgroup {
            SubgroupId::Zero => 0,
            SubgroupId::FirstObject => first,
            SubgroupId::Explicit(id) => id,
        };
        let received = ReceivedObject {
            location: Location::new(header.group, object.id),
            subgroup: Some(subgroup),
            priority: header.priority,
            properties: object.properties,
            status: object.status,
            payload: Bytes::new(),
        };
        self.begin(received, object.payload_len)
    }

    /// Feed an event of a fetch stream; an object when it is whole.
    pub(crate) fn fetch_event(&mut self, event: FetchEvent) -> Option<ReceivedObject> {
        match event {
            FetchEvent::Header { .. }
            | FetchEvent::EndOfNonExistentRange(_)
            | FetchEvent::EndOfUnknownRange(_) => None,
            FetchEvent::Object(object) => {
                let received = ReceivedObject {
                    location: object.location,
                    subgroup: object.subgroup,
                    priority: Some(object.priority),
                    properties: object.properties,
                    status: ObjectStatus::Normal,
                    payload: Bytes::new(),
                };
                self.begin(received, object.payload_len)
            }
            FetchEvent::Payload(bytes) => self.payload(bytes),
        }
    }

    fn begin(&mut self, object: ReceivedObject, payload_len: u64) -> Option<ReceivedObject> {
        if payload_len == 0 {
            return Some(object);
        }
        let payload = if payload_len > MAX_READ_OBJECT {
            Payload::TooLarge
        } else {
            Payload::None
        };
        self.current = Some(Partial {
            object,
            missing: payload_len,
            payload,
        });
        None
    }

    fn payload(&mut self, bytes: Bytes) -> Option<ReceivedObject> {
        let current = self.current.as_mut()?;
        current.missing = current.missing.saturating_sub(bytes.len() as u64);
        current.payload = match std::mem::replace(&mut current.payload, Payload::None) {
            Payload::None => Payload::One(bytes),
            Payload::One(first) => {
                let rest = usize::try_from(current.missing).unwrap_or(0);
                let mut all = BytesMut::with_capacity(first.len() + bytes.len() + rest.min(1 << 20));
                all.extend_from_slice(&first);
                all.extend_from_slice(&bytes);
                Payload::Many(all)
            }
            Payload::Many(mut all) => {
                all.extend_from_slice(&bytes);
                Payload::Many(all)
            }
            Payload::TooLarge => Payload::TooLarge,
        };
        if current.missing > 0 {
            return None;
        }
        let Partial {
            mut object, payload, ..
        } = self.current.take()?;
        object.payload = match payload {
            Payload::None => Bytes::new(),
            Payload::One(bytes) => bytes,
            Payload::Many(all) => all.freeze(),
            Payload::TooLarge => return None,
        };
        Some(object)
    }

    /// The mark that a FIN stands for, if the stream's header said that its last object is the group's last.
    pub(crate) fn end_of_group(&self) -> Option<ReceivedObject> {
        let header = self.header.filter(|header| header.end_of_group)?;
        let after = self.last_object?.checked_add(1)?;
        Some(ReceivedObject {
            location: Location::new(header.group, after),
            subgroup: None,
            priority: header.priority,
            properties: Properties::default(),
            status: ObjectStatus::EndOfGroup,
            payload: Bytes::new(),
        })
    }
}
