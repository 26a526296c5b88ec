//! Questions of people about the mesh: handed to the overlay, answered when its neighbours have answered.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::super::state::{Shared, State};
use super::pulls::pulls;
use crate::overlay::core::{Input, Output, Portrait, Vitals};
use crate::overlay::id::NodeId;
use crate::overlay::message::Hop;

/// Questions under way at one time, which people share with whoever may read the redacted view.
const WAITING: usize = 512;

/// Who waits for an answer.
#[derive(Debug, Default)]
pub(in crate::node) struct Asks {
    traces: BTreeMap<u64, oneshot::Sender<Vec<Hop>>>,
    next: u64,
    surveys: Vec<oneshot::Sender<Vec<Portrait>>>,
    /// What the overlay knows of this node.
    told: Vitals,
}

impl Asks {
    /// Hands an answer to who asked. Who went away meanwhile needs none.
    pub(super) fn answered(&mut self, output: Output) {
        match output {
            Output::Traced { request, hops } => {
                if let Some(asker) = self.traces.remove(&request) {
                    let _waiting = asker.send(hops).is_ok();
                }
            }
            Output::Surveyed { nodes } => {
                for asker in self.surveys.drain(..) {
                    let _waiting = asker.send(nodes.clone()).is_ok();
                }
            }
            _ => {}
        }
    }
}

impl Shared {
    /// The path by which this node pulls an origin. `None`: too many ask.
    pub(in crate::node) fn trace(
        &self,
        state: &mut State,
        origin: NodeId,
    ) -> Option<oneshot::Receiver<Vec<Hop>>> {
        let mesh = state.mesh.as_mut()?;
        if mesh.asks.traces.len() >= WAITING {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let request = mesh.asks.next;
        mesh.asks.next += 1;
        mesh.asks.traces.insert(request, sender);
        mesh.inputs.push_back(Input::Trace { request, origin });
        self.drive(state);
        Some(receiver)
    }

    /// The whole mesh. `None`: too many ask.
    pub(in crate::node) fn survey(&self, state: &mut State) -> Option<oneshot::Receiver<Vec<Portrait>>> {
        let mesh = state.mesh.as_mut()?;
        if mesh.asks.surveys.len() >= WAITING {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        mesh.asks.surveys.push(sender);
        mesh.inputs.push_back(Input::Survey);
        self.drive(state);
        Some(receiver)
    }

    /// Tells the overlay how this node is, if that has changed.
    pub(in crate::node) fn report_vitals(&self, state: &mut State) {
        let sessions = state.sessions.len() as u64;
        let neighbours = state
            .sessions
            .values()
            .filter(|entry| entry.link.as_ref().is_some_and(|link| link.is_up()));
        let clients = sessions.saturating_sub(neighbours.count() as u64);
        let tracks = state.tracks.len() as u64;
        let load = sessions.saturating_mul(1000) / u64::from(self.config.limits.sessions.max(1));
        let vitals = Vitals {
            name: self.about.name.clone(),
            load: u32::try_from(load).unwrap_or(u32::MAX),
            clients,
            tracks,
            pulls: pulls(state),
        };
        if let Some(mesh) = &mut state.mesh
            && mesh.asks.told != vitals
        {
            mesh.asks.told = vitals.clone();
            mesh.inputs.push_back(Input::Vitals(vitals));
            self.drive(state);
        }
    }
}
