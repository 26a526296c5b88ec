//! What lies between the beginning of a subscription and the first group that comes after.
//!
//! A subscription passes what is published after the largest object. If that object turns out to be the last of its group, no
//! stream of the group follows, and nothing says that the group is over: FETCH does not carry marks, and a stream without
//! objects need not be opened (draft sections "Closing Subgroup Streams", "Fetch Handling"). If nothing was published before,
//! nothing says that the first group is the first. So once a later group is there, what is before it is fetched: a result that
//! ends without a range of unknown state proves what does not exist.

use std::{fmt, future::pending, pin::Pin};

use super::{FetchEnd, FetchOptions, FetchReader};
use crate::{
    net::{client::Client, reader::ReceivedObject},
    wire::{FullTrackName, Location},
};

/// The question of what lies there, asked at most once.
pub(super) enum Seam {
    /// Answered, or nobody can say.
    Closed,
    /// Not asked: from here on.
    Open(Location),
    /// FETCH was sent.
    Asked {
        gap: Gap,
        answer: Pin<Box<dyn Future<Output = Option<FetchReader>> + Send>>,
    },
    /// Its result is being read.
    Answered { gap: Gap, rest: Box<FetchReader> },
}

/// Locations from one on, up to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// The first of them.
    pub(super) from: Location,
    /// The first group that does not belong to them.
    pub(super) before: u64,
}

/// What the fetch told.
pub(super) enum Found {
    /// An object, which may come by subscription, too.
    Object(ReceivedObject),
    /// Nothing exists there.
    Nothing(Gap),
}

impl Seam {
    /// Ask what is there up to the group `before`, if that was not done already.
    pub(super) fn ask(&mut self, client: &Client, track: &FullTrackName, before: u64) {
        let &mut Self::Open(from) = self else { return };
        let (client, track) = (client.clone(), track.clone());
        let answer = Box::pin(async move {
            let last = FetchEnd::Group(before.saturating_sub(1));
            let fetched = client.fetch(track, from, last, FetchOptions::default()).await;
            let refused = |error: &_| tracing::debug!(%error, ?from, before, "the seam stays unknown");
            fetched.inspect_err(refused).ok()
        });
        let gap = Gap { from, before };
        *self = Self::Asked { gap, answer };
    }

    /// Where the question begins, while it is not asked.
    pub(super) const fn unasked(&self) -> Option<Location> {
        match self {
            Self::Open(from) => Some(*from),
            _ => None,
        }
    }

    /// The next finding; never ready once there are no more. Cancel-safe.
    pub(super) async fn next(&mut self) -> Found {
        loop {
            match self {
                Self::Closed | Self::Open(_) => return pending().await,
                Self::Asked { gap, answer } => {
                    let rest = answer.await;
                    let gap = *gap;
                    *self = match rest {
                        Some(rest) => Self::Answered {
                            gap,
                            rest: Box::new(rest),
                        },
                        None => Self::Closed,
                    };
                }
                Self::Answered { gap, rest } => match rest.next().await {
                    // Where nothing was said to exist, nothing is owed: what comes by subscription is waited for.
                    Ok(Some(_)) if gap.from == Location::default() => *self = Self::Closed,
                    Ok(Some(object)) => {
                        let at = object.location;
                        gap.from = Location::new(at.group, at.object.saturating_add(1));
                        return Found::Object(object);
                    }
                    Ok(None) if rest.unknown_ranges() == 0 => {
                        let gap = *gap;
                        *self = Self::Closed;
                        return Found::Nothing(gap);
                    }
                    // Patience decides.
                    Ok(None) | Err(_) => *self = Self::Closed,
                },
            }
        }
    }
}

impl fmt::Debug for Seam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("Closed"),
            Self::Open(from) => f.debug_tuple("Open").field(from).finish(),
            Self::Asked { gap, .. } => f.debug_tuple("Asked").field(gap).finish(),
            Self::Answered { gap, .. } => f.debug_tuple("Answered").field(gap).finish(),
        }
    }
}
