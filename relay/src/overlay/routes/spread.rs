//! Telling neighbours: who is told what, and how soon. The specification's section 5.3.

use std::time::Duration;

use super::super::id::Neighbour;
use super::output::Row;
use super::route::{Env, Route, Told};

/// A change by a fiftieth, or by this many microseconds, is a drift.
const DRIFT_MICROS: u32 = 1_000;

impl Route {
    /// Marks the change from `before` for every neighbour but the primary, which must not hear its own news (split horizon;
    /// freedom from cycles does not hang on it). `forced`: the primary was lost.
    pub(super) fn spread(&mut self, env: &mut Env<'_>, before: Told, forced: bool) {
        self.serve(env);
        let Some(at) = self.urgency(env, before, forced) else {
            return;
        };
        for adjacent in env.neighbours.iter_mut() {
            if Some(adjacent.neighbour) != self.primary {
                adjacent.mark(self.origin, at);
            }
        }
    }

    /// When the change is due: `None` if there is none, `Some(None)` if it waits for company.
    fn urgency(&self, env: &Env<'_>, before: Told, forced: bool) -> Option<Option<Duration>> {
        let (now, timers) = (env.now, env.timers());
        let soon = if forced { now } else { now + timers.flush };
        match (before.distance, self.mine.distance) {
            (None, None) => None,
            (Some(_), None) => Some(Some(now)),
            (None, Some(_)) => Some(Some(soon)),
            (Some(old), Some(new)) if old == new => (before.seq != self.mine.seq).then_some(None),
            (Some(old), Some(new)) => {
                let drift = new.micros().abs_diff(old.micros()) <= (old.micros() / 50).max(DRIFT_MICROS);
                Some(Some(if drift && !forced {
                    now + timers.drift
                } else {
                    soon
                }))
            }
        }
    }

    /// Whoever asked for a sequence number that is here now gets its row at once.
    fn serve(&mut self, env: &mut Env<'_>) {
        if self.unrest.want.is_empty() || self.mine.distance.is_none() {
            return;
        }
        let seq = self.mine.seq;
        let served: Vec<Neighbour> = self
            .unrest
            .want
            .iter()
            .filter(|&&(_, wanted)| wanted <= seq)
            .map(|&(neighbour, _)| neighbour)
            .collect();
        self.unrest
            .clear(|unrest| unrest.want.retain(|&(_, wanted)| wanted > seq));
        for neighbour in served {
            self.answer(env, neighbour);
        }
    }

    /// A row for this neighbour now, even if it equals the last one.
    pub(super) fn answer(&mut self, env: &mut Env<'_>, neighbour: Neighbour) {
        let (origin, now) = (self.origin, env.now);
        if let Some(link) = self.link_mut(env.neighbours, neighbour) {
            link.answer = true;
        }
        if let Some(adjacent) = env
            .neighbours
            .iter_mut()
            .find(|adjacent| adjacent.neighbour == neighbour)
        {
            adjacent.mark(origin, Some(now));
        }
    }

    /// Settles what the old primary and the new one know. The old one was told nothing while it was one, so its last row from
    /// here may be wrong; the new one is about to be told nothing, so its last row would become wrong, and is retracted without
    /// haste: it would take that row for a path, and ask for it for ever.
    pub(super) fn unhide(&self, env: &mut Env<'_>, old: Option<Neighbour>) {
        let (now, timers) = (env.now, env.timers());
        let (soon, late) = (now + timers.flush, now + timers.drift);
        for adjacent in env.neighbours.iter_mut() {
            if Some(adjacent.neighbour) == self.primary {
                adjacent.mark(self.origin, Some(late));
            } else if Some(adjacent.neighbour) == old {
                adjacent.mark(self.origin, Some(soon));
            }
        }
    }

    /// The row that is due for a neighbour, whose link is at `at`, marked as sent; `None` if that neighbour knows already.
    pub(super) fn row_for(&mut self, neighbour: Neighbour, at: usize) -> Option<Row> {
        let hidden = self.primary == Some(neighbour);
        let mine = if hidden {
            Told {
                distance: None,
                ..self.mine
            }
        } else {
            self.mine
        };
        let link = self.links.get_mut(at)?;
        if link.reset_due && !link.reset_unacked {
            link.reset_due = false;
            link.reset_unacked = true;
            link.told = false;
            link.answer = false;
            link.sent = Told {
                distance: None,
                ..mine
            };
            return Some(Row {
                seq: mine.seq,
                distance: None,
                full: false,
                reset: true,
            });
        }
        let answer = std::mem::take(&mut link.answer);
        let known = match (link.sent.distance, mine.distance) {
            (None, None) => true,
            _ => link.sent == mine && !answer,
        };
        if known {
            return None;
        }
        link.sent = mine;
        link.told |= mine.distance.is_some();
        Some(Row {
            seq: mine.seq,
            distance: mine.distance,
            full: false,
            reset: false,
        })
    }
}
