//! What operators call the nodes of a mesh, by id, as the nodes tell of themselves.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::admin::Admin;
use crate::table::short;

/// Names of nodes; some have none, or did not tell.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, String>);

#[derive(Deserialize)]
struct Overlay {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    node: String,
    name: String,
}

impl Names {
    /// As far as the relay finds out. It is a help to the eye, so that a relay that knows none is no failure.
    pub(super) async fn ask(admin: &Admin<'_>) -> Self {
        let told = admin.get::<Overlay>("/api/v1/overlay").await;
        Self(
            told.map(|overlay| overlay.nodes)
                .unwrap_or_default()
                .into_iter()
                .filter(|node| !node.name.is_empty())
                .map(|node| (node.node, node.name))
                .collect(),
        )
    }

    /// A node's name.
    pub(super) fn of(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }

    /// The first digits of its id, and its name if it has one.
    pub(super) fn tell(&self, id: &str) -> String {
        match self.of(id) {
            Some(name) => format!("{} ({name})", short(id)),
            None => short(id).to_owned(),
        }
    }
}

#[cfg(test)]
impl<const COUNT: usize> From<[(&str, &str); COUNT]> for Names {
    fn from(names: [(&str, &str); COUNT]) -> Self {
        Self(names.map(|(id, name)| (id.to_owned(), name.to_owned())).into())
    }
}
