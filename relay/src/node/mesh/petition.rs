//! Asking the mesh's authority for a certificate: a session of its own, one request, one answer.

use std::sync::{Arc, Mutex, PoisonError};

use headwater_certs::mesh::{Address, Exporter};
use headwater_pubsub::net::{Clock, DataEvent, Dialer, Handler, SessionHandle};
use headwater_pubsub::session::{Accepted, Event, Limits, Side};
use headwater_pubsub::wire::SessionCode;
use tokio::sync::oneshot;
use tracing::debug;
use url::Url;

use super::parameters;
use super::start::JoinError;

/// One try at one address; the encoded answer.
pub(super) async fn ask(
    dialer: &Dialer,
    address: &Address,
    petition: impl Fn(&Exporter) -> Vec<u8> + Send + Sync + 'static,
) -> Result<Vec<u8>, JoinError> {
    let no_answer = || JoinError::NoAnswer(address.clone());
    let url = Url::parse(&format!("moqt://{address}")).map_err(|_address| no_answer())?;
    let transport = dialer.dial(&url).await.map_err(|source| JoinError::Unreachable {
        address: address.clone(),
        source,
    })?;
    let setup = super::setup(Some(&url));
    let limits = Limits::default();
    let handle = SessionHandle::with_extension(
        transport,
        Clock::new(),
        Side::Client,
        setup,
        limits,
        super::OPTION,
    )
    .map_err(|_oversized| no_answer())?;
    let (answered, answer) = oneshot::channel();
    let petitioner = Petitioner {
        petition,
        answered: Mutex::new(Some(answered)),
    };
    tokio::select! {
        answer = answer => answer.map_err(|_dropped| no_answer()),
        _end = handle.driver(Arc::new(petitioner)).run() => Err(no_answer()),
    }
}

/// Asks once the session stands, and waits for the answer.
struct Petitioner<P> {
    /// The request for the connection of this exporter.
    petition: P,
    answered: Mutex<Option<oneshot::Sender<Vec<u8>>>>,
}

impl<P: Fn(&Exporter) -> Vec<u8> + Send + Sync + 'static> Handler for Petitioner<P> {
    fn event(&self, session: &SessionHandle, event: Event) {
        match event {
            Event::Established(_) => {
                let Some(exporter) = super::greet::exporter(session) else {
                    return;
                };
                let request = (self.petition)(&exporter);
                let parameters = super::greet::token(super::greet::REQUEST_TOKEN, request);
                if let Err(error) =
                    session.act(|session, _| session.subscribe(super::join_track(), parameters))
                {
                    debug!(%error, "the request was not sent");
                }
            }
            Event::Accepted {
                answer: Accepted::Subscribe { parameters, .. },
                ..
            } => {
                let sender = self
                    .answered
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                if let (Some(sender), Some(answer)) = (sender, parameters.extensions.get(parameters::ANSWER))
                {
                    // Nobody waits any more if the session is given up.
                    let _waiting = sender.send(answer.to_vec()).is_ok();
                }
            }
            // Refused, or ended: the session is of no use.
            Event::Rejected { error, .. } => session.close(SessionCode::NO_ERROR, &error.reason),
            _ => {}
        }
    }

    fn data(&self, _: &SessionHandle, _: DataEvent) {}
}
