//! Which parameters each message may carry (draft section "Parameter Scope" and the sections of the parameters).

use super::{EXTENSION_TYPES, kind};

const EXTENSION_FIRST: u64 = *EXTENSION_TYPES.start();
const EXTENSION_LAST: u64 = *EXTENSION_TYPES.end();

/// The messages whose parameters differ; REQUEST_OK and REQUEST_UPDATE depend on the request they belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the draft's message names")]
pub enum Scope {
    Subscribe,
    SubscribeOk,
    Publish,
    PublishOk,
    Fetch,
    FetchOk,
    TrackStatus,
    TrackStatusOk,
    PublishNamespace,
    PublishNamespaceOk,
    SubscribeNamespace,
    SubscribeNamespaceOk,
    SubscribeTracks,
    SubscribeTracksOk,
    /// REQUEST_UPDATE of a subscription, whichever side began it.
    UpdateSubscription,
    UpdateSubscriptionOk,
    UpdateFetch,
    UpdatePublishNamespace,
    /// REQUEST_UPDATE of SUBSCRIBE_NAMESPACE or SUBSCRIBE_TRACKS.
    UpdateNamespaceSubscription,
    /// The OK of any update that is not of a subscription.
    UpdateOtherOk,
}

impl Scope {
    /// Whether a parameter of this type may appear.
    ///
    /// Two sentences of the draft decide doubtful cases: "the same parameters it would have set in a SUBSCRIBE_OK" lets
    /// TRACK_STATUS_OK carry EXPIRES, and where a parameter names REQUEST_UPDATE or its OK without saying of what, it is
    /// allowed in the update of any request.
    pub(super) const fn allows(self, kind: u64) -> bool {
        match kind {
            kind::OBJECT_DELIVERY_TIMEOUT | kind::SUBGROUP_DELIVERY_TIMEOUT => {
                matches!(self, Self::PublishOk | Self::Subscribe) || self.is_update()
            }
            kind::AUTHORIZATION_TOKEN => self.is_request() || self.is_update(),
            kind::RENDEZVOUS_TIMEOUT => matches!(self, Self::Subscribe),
            kind::EXPIRES => {
                matches!(
                    self,
                    Self::SubscribeOk | Self::Publish | Self::PublishOk | Self::TrackStatusOk
                ) || self.is_update_ok()
            }
            kind::LARGEST_OBJECT => {
                matches!(self, Self::SubscribeOk | Self::Publish | Self::TrackStatusOk) || self.is_update_ok()
            }
            kind::FILL_TIMEOUT => matches!(self, Self::Fetch),
            kind::FORWARD => matches!(
                self,
                Self::Subscribe
                    | Self::UpdateSubscription
                    | Self::Publish
                    | Self::PublishOk
                    | Self::SubscribeTracks
            ),
            kind::SUBSCRIBER_PRIORITY => matches!(
                self,
                Self::Subscribe
                    | Self::Fetch
                    | Self::UpdateSubscription
                    | Self::UpdateFetch
                    | Self::PublishOk
            ),
            kind::SUBSCRIPTION_FILTER | kind::NEW_GROUP_REQUEST => {
                matches!(self, Self::Subscribe | Self::PublishOk | Self::UpdateSubscription)
            }
            kind::GROUP_ORDER => matches!(self, Self::Subscribe | Self::PublishOk | Self::Fetch),
            kind::TRACK_NAMESPACE_PREFIX => matches!(self, Self::UpdateNamespaceSubscription),
            EXTENSION_FIRST..=EXTENSION_LAST => self.takes_extensions(),
            _ => false,
        }
    }

    /// Extension parameters are about one track: its requests, and every answer that is shown to who asked.
    const fn takes_extensions(self) -> bool {
        matches!(
            self,
            Self::Subscribe
                | Self::SubscribeOk
                | Self::Fetch
                | Self::FetchOk
                | Self::TrackStatus
                | Self::TrackStatusOk
                | Self::PublishOk
        ) || self.is_update_ok()
    }

    const fn is_request(self) -> bool {
        matches!(
            self,
            Self::Subscribe
                | Self::Publish
                | Self::Fetch
                | Self::TrackStatus
                | Self::PublishNamespace
                | Self::SubscribeNamespace
                | Self::SubscribeTracks
        )
    }

    const fn is_update(self) -> bool {
        matches!(
            self,
            Self::UpdateSubscription
                | Self::UpdateFetch
                | Self::UpdatePublishNamespace
                | Self::UpdateNamespaceSubscription
        )
    }

    const fn is_update_ok(self) -> bool {
        matches!(self, Self::UpdateSubscriptionOk | Self::UpdateOtherOk)
    }
}
