//! Which locations pass a subscription.

use crate::track::successor;
use crate::wire::{Filter, Location};

/// A filter with its relative parts resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: Location,
    /// Last group, inclusive.
    pub(super) end_group: Option<u64>,
}

impl Range {
    /// Resolves `filter` against the largest location (draft section "Subscription Filters").
    pub(super) fn new(filter: Option<Filter>, largest: Option<Location>) -> Self {
        let open = |start| Self {
            start,
            end_group: None,
        };
        match (filter, largest) {
            (None, _) | (Some(Filter::NextGroupStart | Filter::LargestObject), None) => {
                open(Location::new(0, 0))
            }
            (Some(Filter::NextGroupStart), Some(largest)) => {
                open(Location::new(largest.group.saturating_add(1), 0))
            }
            (Some(Filter::LargestObject), Some(largest)) => open(successor(largest).unwrap_or(largest)),
            (Some(Filter::AbsoluteStart(start)), _) => open(start),
            (Some(Filter::AbsoluteRange { start, end_group }), _) => Self {
                start,
                end_group: Some(end_group),
            },
        }
    }

    /// Everything in the range has been published.
    pub(super) fn is_over(&self, largest: Option<Location>) -> bool {
        self.end_group
            .zip(largest)
            .is_some_and(|(end, largest)| largest.group > end)
    }

    pub(super) fn has_group(&self, group: u64) -> bool {
        group >= self.start.group && self.end_group.is_none_or(|end| group <= end)
    }

    pub(super) fn contains(&self, at: Location) -> bool {
        at >= self.start && self.has_group(at.group)
    }
}
