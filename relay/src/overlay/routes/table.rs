//! Routes by origin.
//!
//! A sorted list: routes come and go far less often than they are looked up, and a tree would hold each id a second time and
//! leave up to half of its room free.

use super::super::id::NodeId;
use super::route::Route;

/// See the [module](self). Iterates in the order of the origins' ids.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::vec_box,
    reason = "a route that comes in between moves pointers, and room to grow into is pointers too"
)]
pub(super) struct Table(Vec<Box<Route>>);

impl Table {
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, origin: NodeId) -> bool {
        self.place(origin).is_ok()
    }

    pub(super) fn get(&self, origin: NodeId) -> Option<&Route> {
        self.0.get(self.place(origin).ok()?).map(|route| &**route)
    }

    pub(super) fn get_mut(&mut self, origin: NodeId) -> Option<&mut Route> {
        let at = self.place(origin).ok()?;
        self.0.get_mut(at).map(|route| &mut **route)
    }

    /// Of an origin that has none yet.
    pub(super) fn insert(&mut self, route: Route) {
        if let Err(at) = self.place(route.origin) {
            self.0.insert(at, Box::new(route));
        }
    }

    pub(super) fn remove(&mut self, origin: NodeId) {
        if let Ok(at) = self.place(origin) {
            self.0.remove(at);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter().map(|route| &**route)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Route> {
        self.0.iter_mut().map(|route| &mut **route)
    }

    /// Shows every route, and keeps those for which the answer is yes.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut Route) -> bool) {
        self.0.retain_mut(|route| keep(route));
    }

    fn place(&self, origin: NodeId) -> Result<usize, usize> {
        self.0.binary_search_by(|route| route.origin.cmp(&origin))
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Timers;
    use super::*;

    fn id(byte: u8) -> NodeId {
        NodeId([byte; 32])
    }

    #[test]
    fn routes_stand_in_the_order_of_their_origins_whatever_order_they_came_in() {
        let mut table = Table::default();
        for byte in [5, 1, 9, 3, 7] {
            table.insert(Route::new(id(byte), 0, false, &Timers::default()));
        }
        let ids = |table: &Table| table.iter().map(|route| route.origin.0[0]).collect::<Vec<_>>();
        assert_eq!(ids(&table), [1, 3, 5, 7, 9]);
        assert!(table.get(id(4)).is_none() && !table.contains(id(4)));
        assert_eq!(table.get_mut(id(7)).map(|route| route.origin), Some(id(7)));
        table.remove(id(4));
        table.remove(id(5));
        table.retain(|route| route.origin != id(1));
        assert_eq!(ids(&table), [3, 7, 9]);
        assert_eq!(table.len(), 3);
    }
}
