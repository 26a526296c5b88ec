//! What a subscriber can ask for.

use std::time::Duration;

use crate::wire::{Filter, GroupOrder, Parameters, Token};

/// Payload that may wait for the application before the peer is held back. Default 8 MiB: seconds of video.
const QUEUE_BYTES: u32 = 8 << 20;

/// How to subscribe. The default asks for everything from now on, at middle priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Which objects; `None`: all that are published from now on.
    pub filter: Option<Filter>,
    /// Against the other subscriptions of this session: lower is more urgent. Default 128.
    pub priority: u8,
    /// The order in which groups are sent when there is not room for all; `None`: as the publisher says.
    pub group_order: Option<GroupOrder>,
    /// Whether objects are sent (FORWARD). Default true; false subscribes but holds the objects back until an update.
    pub forward: bool,
    /// Objects older than this need not be sent.
    pub object_delivery_timeout: Option<Duration>,
    /// Subgroups that ended longer ago than this need not be sent.
    pub subgroup_delivery_timeout: Option<Duration>,
    /// How long the request may wait for a publisher of the track; `None`: not at all.
    pub rendezvous: Option<Duration>,
    /// Ask for a new group at once, if the publisher makes groups on demand.
    pub new_group: bool,
    /// Authorization.
    pub tokens: Vec<Token>,
    /// Bytes of payload that may wait for [`Subscriber::next`](super::Subscriber::next). Default 8 MiB. A joined subscription
    /// holds as much of the present while it reads the past, and gives the rest of the past up beyond.
    pub queue_bytes: u32,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self {
            filter: None,
            priority: 128,
            group_order: None,
            forward: true,
            object_delivery_timeout: None,
            subgroup_delivery_timeout: None,
            rendezvous: None,
            new_group: false,
            tokens: Vec::new(),
            queue_bytes: QUEUE_BYTES,
        }
    }
}

/// Milliseconds on the wire.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl SubscribeOptions {
    pub(crate) fn into_parameters(self) -> Parameters {
        Parameters {
            rendezvous_timeout_ms: self.rendezvous.map(millis),
            ..self.into_publish_ok()
        }
    }

    /// What of it PUBLISH_OK can say.
    pub(crate) fn into_publish_ok(self) -> Parameters {
        Parameters {
            object_delivery_timeout_ms: self.object_delivery_timeout.map(millis),
            subgroup_delivery_timeout_ms: self.subgroup_delivery_timeout.map(millis),
            forward: (!self.forward).then_some(false),
            subscriber_priority: (self.priority != 128).then_some(self.priority),
            filter: self.filter,
            group_order: self.group_order,
            new_group_request: self.new_group.then_some(0),
            authorization_tokens: self.tokens,
            ..Parameters::default()
        }
    }
}

/// What to change about a subscription; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionChange {
    /// Which objects. Objects before the present location need a fetch.
    pub filter: Option<Filter>,
    /// Lower is more urgent.
    pub priority: Option<u8>,
    /// Whether objects are sent.
    pub forward: Option<bool>,
    /// Objects older than this need not be sent.
    pub object_delivery_timeout: Option<Duration>,
    /// Subgroups that ended longer ago than this need not be sent.
    pub subgroup_delivery_timeout: Option<Duration>,
    /// Ask for a group after this one (the largest group known plus one, or 0 for any), if the publisher makes groups on demand.
    pub new_group: Option<u64>,
    /// Fresh authorization.
    pub tokens: Vec<Token>,
}

impl SubscriptionChange {
    pub(crate) fn into_parameters(self) -> Parameters {
        Parameters {
            object_delivery_timeout_ms: self.object_delivery_timeout.map(millis),
            subgroup_delivery_timeout_ms: self.subgroup_delivery_timeout.map(millis),
            forward: self.forward,
            subscriber_priority: self.priority,
            filter: self.filter,
            new_group_request: self.new_group,
            authorization_tokens: self.tokens,
            ..Parameters::default()
        }
    }
}
