//! NEW_GROUP_REQUEST: when to pass one on (draft section "NEW GROUP REQUEST Parameter").
//!
//! The rule needs the track's largest group, which the data plane knows; it is watched only while a request is undecided or
//! outstanding.

/// What is known and wanted of new groups of a track.
#[derive(Debug, Default)]
pub(super) struct NewGroups {
    /// The track has the property DYNAMIC_GROUPS with value 1.
    dynamic: bool,
    watching: bool,
    /// The largest group, once reported; `Some(None)`: the track has none.
    largest: Option<Option<u64>>,
    /// Asked for downstream and not decided: the value 0, and the largest other one.
    any: bool,
    above: Option<u64>,
    outstanding: Option<Outstanding>,
}

#[derive(Clone, Copy, Debug)]
struct Outstanding {
    value: u64,
    /// The largest group when it was sent; unknown for one that went with SUBSCRIBE or PUBLISH_OK.
    sent_at: Option<Option<u64>>,
}

/// What to do about new groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Send this NEW_GROUP_REQUEST to every publisher.
    pub(super) request: Option<u64>,
    /// Begin or stop to watch the largest group.
    pub(super) watch: Option<bool>,
}

impl NewGroups {
    /// A request went upstream with SUBSCRIBE or PUBLISH_OK.
    pub(super) fn sent(&mut self, value: u64) {
        if self
            .outstanding
            .is_none_or(|outstanding| outstanding.value < value)
        {
            self.outstanding = Some(Outstanding {
                value,
                sent_at: self.largest,
            });
        }
    }

    /// A subscriber asks.
    pub(super) fn ask(&mut self, value: u64) -> Step {
        if value == 0 {
            self.any = true;
        } else {
            self.above = self.above.max(Some(value));
        }
        self.decide()
    }

    /// The data plane reports.
    pub(super) fn report(&mut self, group: Option<u64>) -> Step {
        self.largest = Some(group);
        if let Some(outstanding) = &mut self.outstanding {
            match outstanding.sent_at {
                None => outstanding.sent_at = Some(group),
                Some(at) if group > at => self.outstanding = None,
                Some(_) => {}
            }
        }
        self.decide()
    }

    fn decide(&mut self) -> Step {
        if !self.dynamic {
            (self.any, self.above) = (false, None);
        }
        let mut step = Step::default();
        if let Some(largest) = self.largest
            && self.watching
        {
            let above = self
                .above
                .take()
                .filter(|value| largest.is_none_or(|largest| *value > largest));
            let any = std::mem::take(&mut self.any).then_some(0);
            if let Some(value) = above.or(any)
                && self
                    .outstanding
                    .is_none_or(|outstanding| outstanding.value < value)
            {
                self.outstanding = Some(Outstanding {
                    value,
                    sent_at: Some(largest),
                });
                step.request = Some(value);
            }
        }
        let watch = self.dynamic && (self.any || self.above.is_some() || self.outstanding.is_some());
        if watch != self.watching {
            self.watching = watch;
            self.largest = None;
            step.watch = Some(watch);
        }
        step
    }

    /// A source told whether the track is dynamic; it is if any says so.
    pub(super) fn learn(&mut self, dynamic: bool) -> Step {
        self.dynamic |= dynamic;
        if !self.dynamic {
            self.outstanding = None;
        }
        self.decide()
    }
}
