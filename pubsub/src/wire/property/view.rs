//! Typed views of the properties that the transport itself acts on.

use super::{Properties, Property, PropertyError, kind};
use crate::wire::Location;
use crate::wire::error::DecodeError;
use crate::wire::parameter::GroupOrder;

/// The Track Properties of the draft. Absent means that the track says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackProperties {
    /// OBJECT_DELIVERY_TIMEOUT in milliseconds.
    pub object_delivery_timeout_ms: Option<u64>,
    /// SUBGROUP_DELIVERY_TIMEOUT in milliseconds.
    pub subgroup_delivery_timeout_ms: Option<u64>,
    /// MAX_CACHE_DURATION in milliseconds.
    pub max_cache_duration_ms: Option<u64>,
    /// DEFAULT_PUBLISHER_PRIORITY; 128 if absent.
    pub default_publisher_priority: Option<u8>,
    /// DEFAULT_PUBLISHER_GROUP_ORDER; ascending if absent.
    pub default_group_order: Option<GroupOrder>,
    /// DYNAMIC_GROUPS; false if absent.
    pub dynamic_groups: Option<bool>,
    /// The first Mandatory Track Property present. This crate understands none, so such a track may be neither processed nor
    /// forwarded (UNSUPPORTED_EXTENSION).
    pub unknown_mandatory: Option<u64>,
    /// What is wrong inside IMMUTABLE_PROPERTIES, if anything: the track is malformed, the session goes on, since no relay
    /// on the way could have repaired it.
    pub malformed: Option<MalformedTrack>,
}

impl TrackProperties {
    /// Reads the Track Properties of a message, mutable list first, then IMMUTABLE_PROPERTIES; of a repeated type the
    /// first counts.
    ///
    /// # Errors
    ///
    /// A mutable list that cannot be read, or a value that the draft forbids: fatal to the session.
    pub fn parse(properties: &Properties) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        for property in properties.iter() {
            view.take(property?)?;
        }
        for property in properties.immutable() {
            match property {
                Ok(property) => view.take(property)?,
                Err(error) => view.malformed = Some(error.into()),
            }
        }
        Ok(view)
    }

    fn take(&mut self, property: Property<'_>) -> Result<(), DecodeError> {
        let Some(value) = property.value.int() else {
            self.note_mandatory(property.kind);
            return Ok(());
        };
        match property.kind {
            kind::OBJECT_DELIVERY_TIMEOUT => keep_first(&mut self.object_delivery_timeout_ms, value),
            kind::SUBGROUP_DELIVERY_TIMEOUT => keep_first(&mut self.subgroup_delivery_timeout_ms, value),
            kind::MAX_CACHE_DURATION => keep_first(&mut self.max_cache_duration_ms, value),
            kind::DEFAULT_PUBLISHER_PRIORITY => {
                let field = "DEFAULT_PUBLISHER_PRIORITY";
                let priority =
                    u8::try_from(value).map_err(|_error| DecodeError::InvalidValue { field, value })?;
                keep_first(&mut self.default_publisher_priority, priority);
            }
            kind::DEFAULT_PUBLISHER_GROUP_ORDER => {
                let field = "DEFAULT_PUBLISHER_GROUP_ORDER";
                let order = GroupOrder::new(value).ok_or(DecodeError::InvalidValue { field, value })?;
                keep_first(&mut self.default_group_order, order);
            }
            kind::DYNAMIC_GROUPS => {
                if value > 1 {
                    return Err(DecodeError::InvalidValue {
                        field: "DYNAMIC_GROUPS",
                        value,
                    });
                }
                keep_first(&mut self.dynamic_groups, value == 1);
            }
            other => self.note_mandatory(other),
        }
        Ok(())
    }

    fn note_mandatory(&mut self, kind: u64) {
        if kind::MANDATORY.contains(&kind) {
            keep_first(&mut self.unknown_mandatory, kind);
        }
    }
}

fn keep_first<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
}

/// The Object Properties of the draft that the transport acts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectProperties {
    /// PRIOR_GROUP_ID_GAP: this many groups before the object's will never exist.
    pub prior_group_gap: Option<u64>,
    /// PRIOR_OBJECT_ID_GAP: this many objects before this one will never exist in its group.
    pub prior_object_gap: Option<u64>,
}

/// How an object's properties make its track malformed (draft sections "Malformed Tracks", "Immutable Properties" and those
/// of the gaps). The session goes on, the track does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedTrack {
    /// A property that an object has at most once.
    #[error("malformed track: property {0:#x} twice on an object")]
    Duplicate(u64),
    /// IMMUTABLE_PROPERTIES inside IMMUTABLE_PROPERTIES.
    #[error("malformed track: immutable properties inside immutable properties")]
    NestedImmutable,
    /// A property of the mandatory track range on an object.
    #[error("malformed track: mandatory track property {0:#x} on an object")]
    MandatoryTrackProperty(u64),
    /// A pair that cannot be read.
    #[error("malformed track: {0}")]
    Unreadable(#[from] PropertyError),
    /// A gap that reaches below group or object 0.
    #[error("malformed track: property {0:#x} reaches below zero")]
    GapTooLarge(u64),
}

/// What is wrong with an object's properties, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectPropertiesError {
    /// Fatal to the track, not to the session.
    #[error(transparent)]
    Track(#[from] MalformedTrack),
    /// Fatal to the session.
    #[error(transparent)]
    Session(#[from] DecodeError),
}

impl ObjectProperties {
    /// Reads the properties of an object.
    ///
    /// What is wrong inside IMMUTABLE_PROPERTIES is always the track's fault: a relay could not have repaired it.
    ///
    /// # Errors
    ///
    /// [`ObjectPropertiesError::Track`] for what the draft calls malformed, and for an incomplete pair of a type that
    /// the transport does not know; [`ObjectPropertiesError::Session`] for what it says closes the session.
    pub fn parse(properties: &Properties) -> Result<Self, ObjectPropertiesError> {
        let mut view = Self::default();
        let mut immutable = false;
        for property in properties.iter() {
            let property = property.map_err(|error| match DecodeError::from(error) {
                DecodeError::Truncated => ObjectPropertiesError::Track(error.into()),
                fatal => ObjectPropertiesError::Session(fatal),
            })?;
            if property.kind == kind::IMMUTABLE_PROPERTIES && std::mem::replace(&mut immutable, true) {
                return Err(MalformedTrack::Duplicate(kind::IMMUTABLE_PROPERTIES).into());
            }
            view.take(property)?;
        }
        for property in properties.immutable() {
            let property = property.map_err(MalformedTrack::from)?;
            if property.kind == kind::IMMUTABLE_PROPERTIES {
                return Err(MalformedTrack::NestedImmutable.into());
            }
            view.take(property)?;
        }
        Ok(view)
    }

    /// Refuses gaps that reach below zero from where the object is.
    ///
    /// # Errors
    ///
    /// [`MalformedTrack::GapTooLarge`].
    pub fn check(&self, location: Location) -> Result<(), MalformedTrack> {
        if self.prior_group_gap.is_some_and(|gap| gap > location.group) {
            return Err(MalformedTrack::GapTooLarge(kind::PRIOR_GROUP_ID_GAP));
        }
        if self.prior_object_gap.is_some_and(|gap| gap > location.object) {
            return Err(MalformedTrack::GapTooLarge(kind::PRIOR_OBJECT_ID_GAP));
        }
        Ok(())
    }

    fn take(&mut self, property: Property<'_>) -> Result<(), MalformedTrack> {
        let slot = match property.kind {
            kind::PRIOR_GROUP_ID_GAP => &mut self.prior_group_gap,
            kind::PRIOR_OBJECT_ID_GAP => &mut self.prior_object_gap,
            other if kind::MANDATORY.contains(&other) => {
                return Err(MalformedTrack::MandatoryTrackProperty(other));
            }
            _ => return Ok(()),
        };
        match std::mem::replace(slot, property.value.int()) {
            None => Ok(()),
            Some(_) => Err(MalformedTrack::Duplicate(property.kind)),
        }
    }
}
