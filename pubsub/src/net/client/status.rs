//! The state of a track, without subscribing to it (draft section "TRACK_STATUS").

use std::time::Duration;

use super::{Client, RequestFailed};
use crate::{
    session::Accepted,
    wire::{FullTrackName, Location, Parameters, Properties, Token},
};

/// How to ask for the state of a track.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackStatusOptions {
    /// Authorization.
    pub tokens: Vec<Token>,
}

/// The state of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackStatus {
    /// The largest location published; `None`: nothing yet.
    pub largest: Option<Location>,
    /// Track Properties as the publisher sent them.
    pub properties: Properties,
    /// How long a subscription would last; `None`: without end.
    pub expires: Option<Duration>,
}

impl Client {
    /// Ask for the state of a track without subscribing; once more if the peer wants that.
    ///
    /// # Errors
    /// See [`RequestFailed`].
    ///
    /// Cancel-safe: if dropped, the request is cancelled.
    pub async fn track_status(
        &self,
        track: FullTrackName,
        options: TrackStatusOptions,
    ) -> Result<TrackStatus, RequestFailed> {
        let parameters = Parameters {
            authorization_tokens: options.tokens,
            ..Parameters::default()
        };
        let ask = || {
            let (track, parameters) = (track.clone(), parameters.clone());
            self.ask(|session| session.track_status(track, parameters), |_, _| ())
        };
        let answer = match ask()?.answer_here().await {
            Err(RequestFailed::Elsewhere(goaway)) if goaway.uri.is_empty() => ask()?.answer_here().await,
            answer => answer,
        };
        let (_request, answer) = answer?;
        let Accepted::TrackStatus {
            parameters,
            properties,
        } = answer
        else {
            return Err(RequestFailed::Ended(None));
        };
        let expires = parameters
            .expires_ms
            .filter(|&ms| ms > 0)
            .map(Duration::from_millis);
        Ok(TrackStatus {
            largest: parameters.largest_object,
            properties,
            expires,
        })
    }
}
