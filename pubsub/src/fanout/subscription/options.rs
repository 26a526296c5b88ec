//! What a subscriber asks for, and changes later.

use crate::track::Time;
use crate::wire::{Filter, GroupOrder};

/// What a subscriber asks for.
#[derive(Clone, Copy, Debug)]
pub struct SubscribeOptions {
    /// SUBSCRIPTION_FILTER; `None`: everything that arrives.
    pub filter: Option<Filter>,
    /// FORWARD.
    pub forward: bool,
    /// SUBSCRIBER_PRIORITY.
    pub priority: u8,
    /// GROUP_ORDER; `None`: the track's.
    pub group_order: Option<GroupOrder>,
    /// OBJECT_DELIVERY_TIMEOUT; `None` or zero: the track's.
    pub object_timeout: Option<Time>,
    /// SUBGROUP_DELIVERY_TIMEOUT; `None` or zero: the track's.
    pub subgroup_timeout: Option<Time>,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self {
            filter: None,
            forward: true,
            priority: 128,
            group_order: None,
            object_timeout: None,
            subgroup_timeout: None,
        }
    }
}

/// What a REQUEST_UPDATE changes; `None` leaves as it is.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the fields of SubscribeOptions")]
pub struct SubscriptionUpdate {
    pub filter: Option<Filter>,
    pub forward: Option<bool>,
    pub priority: Option<u8>,
    pub object_timeout: Option<Time>,
    pub subgroup_timeout: Option<Time>,
}

/// Why a subscription cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// Every group of the filter has been published: INVALID_RANGE. Past objects come by FETCH.
    #[error("everything in the requested range has been published")]
    InvalidRange,
    /// MALFORMED_TRACK.
    #[error("the track is malformed")]
    Malformed,
}
