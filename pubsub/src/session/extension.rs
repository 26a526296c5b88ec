//! Message parameters beside the draft: who may use them (draft sections "Extension Negotiation" and "Message Parameters").

use super::Session;
use crate::wire::control::{Fetch, FetchOk, RequestOk, RequestUpdate, Subscribe, SubscribeOk, TrackStatus};
use crate::wire::parameter::Scope;
use crate::wire::{DecodeError, Message, Parameters};

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
