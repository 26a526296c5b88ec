//! Message parameters beside the draft: who may use them, and what they tell apart (draft sections "Extension Negotiation" and "Message Parameters").

use super::Session;
use crate::wire::control::{Fetch, FetchOk, RequestOk, RequestUpdate, Subscribe, SubscribeOk, TrackStatus};
use crate::wire::parameter::{ExtensionParameters, Scope};
use crate::wire::{DecodeError, FullTrackName, Message, Parameters};

/// Most bytes of extension parameters in a SUBSCRIBE, since they are kept as long as it lives: as many as a full track name has.
pub(super) const MAX_EXTENSIONS: usize = 4096;

/// What a session has at most one subscription to, in each role: a track, or with an extension one of several that bear its
/// name. What tells them apart are the extension parameters of SUBSCRIBE; PUBLISH has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subject {
    pub(super) track: FullTrackName,
    pub(super) extensions: ExtensionParameters,
}

impl Subject {
    /// Of a SUBSCRIBE, whose extension parameters were found to be agreed; `None` if they are too long.
    pub(super) fn of(track: &FullTrackName, parameters: &Parameters) -> Option<Self> {
        (parameters.extensions.len() <= MAX_EXTENSIONS).then(|| Self {
            track: track.clone(),
            // Not a part of the message, which would stay in memory with it.
            extensions: parameters.extensions.compact(),
        })
    }

    /// Of a PUBLISH.
    pub(super) fn plain(track: &FullTrackName) -> Self {
        Self {
            track: track.clone(),
            extensions: ExtensionParameters::empty(),
        }
    }
}

impl Session {
    /// Refuses parameters of ours that the message may not carry, or that no extension was agreed for.
    pub(super) fn check_ours(&self, parameters: &Parameters, scope: Scope) -> Result<(), DecodeError> {
        parameters.check(scope)?;
        self.check_agreed(parameters)
    }

    /// Refuses extension parameters of the peer unless they were agreed: to this session they are unknown types like any
    /// other.
    pub(super) fn check_received(&self, message: &Message) -> Result<(), DecodeError> {
        match message {
            Message::Subscribe(Subscribe { parameters, .. })
            | Message::SubscribeOk(SubscribeOk { parameters, .. })
            | Message::Fetch(Fetch { parameters, .. })
            | Message::FetchOk(FetchOk { parameters, .. })
            | Message::TrackStatus(TrackStatus { parameters, .. })
            | Message::RequestOk(RequestOk { parameters, .. })
            | Message::RequestUpdate(RequestUpdate { parameters, .. }) => self.check_agreed(parameters),
            // The others cannot carry them, which the codec has seen to.
            _ => Ok(()),
        }
    }

    fn check_agreed(&self, parameters: &Parameters) -> Result<(), DecodeError> {
        match parameters.extensions.iter().next() {
            Some((value, _)) if !self.agreed => Err(DecodeError::UnknownType {
                what: "message parameter",
                value,
            }),
            _ => Ok(()),
        }
    }
}
