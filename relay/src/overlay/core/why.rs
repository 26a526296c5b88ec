//! The routes' choice of an upstream as a sentence: the question asked in every incident.
//!
//! It is read off the candidates by the rules of the overlay's specification, section 5.2, so it tells what holds now, not
//! what was true when the choice was made.

use crate::overlay::id::Distance;
use crate::overlay::routes::{Candidate, Role};

/// Why the route goes where it goes.
pub(super) fn why(candidates: &[Candidate]) -> String {
    let mut ways: Vec<(Distance, &Candidate)> = candidates
        .iter()
        .filter_map(|candidate| Some((candidate.total?, candidate)))
        .collect();
    ways.sort_by_key(|&(total, candidate)| (total, candidate.neighbour));
    let primary = ways
        .iter()
        .find(|(_, candidate)| candidate.role == Some(Role::Primary));
    match (primary, ways.first()) {
        (_, None) => "no neighbour has a route".to_owned(),
        (None, Some(_)) => starved(&ways),
        (Some(&primary), Some(&best)) => compared(primary, best, &ways),
    }
}

fn starved(ways: &[(Distance, &Candidate)]) -> String {
    let tentative = ways
        .iter()
        .find(|(_, candidate)| candidate.role == Some(Role::Tentative));
    let asked = "a newer sequence number is asked for";
    match tentative {
        Some((_, candidate)) => format!(
            "no neighbour is surely closer than this node was: {} is tried meanwhile, and {asked}",
            candidate.node
        ),
        None => format!("no neighbour is surely closer than this node was, so none is used, and {asked}"),
    }
}

fn compared(
    (total, primary): (Distance, &Candidate),
    (shortest, best): (Distance, &Candidate),
    ways: &[(Distance, &Candidate)],
) -> String {
    let node = primary.node;
    if best.neighbour == primary.neighbour {
        return match ways.get(1) {
            None => format!("{node} is the only neighbour with a route"),
            Some((next, other)) => format!(
                "{node} is the shortest way: {}, the next one, {}, has {}",
                millis(total),
                other.node,
                millis(*next)
            ),
        };
    }
    let because = if !best.feasible {
        "is not known to be closer than this node, so a cycle could close"
    } else if best.suspect {
        "is suspected to be gone"
    } else if best.full {
        "takes no more neighbours"
    } else if best.role == Some(Role::Pending) {
        "takes over when its media has caught up"
    } else {
        "must stay clearly shorter for a while before tracks move"
    };
    format!(
        "{node} is in use with {}; {} would have {} but {because}",
        millis(total),
        best.node,
        millis(shortest)
    )
}

fn millis(distance: Distance) -> String {
    let micros = distance.micros();
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::id::{Cost, Neighbour, NodeId};

    fn candidate(number: u8, total: u64, role: Option<Role>) -> Candidate {
        Candidate {
            neighbour: Neighbour(number.into()),
            node: NodeId([number; 32]),
            distance: Distance::new(total),
            cost: Cost::MIN,
            total: Distance::new(total),
            feasible: true,
            suspect: false,
            full: false,
            low: None,
            role,
        }
    }

    #[test]
    fn each_reason_has_its_sentence() {
        let primary = candidate(1, 20_000, Some(Role::Primary));
        let shorter = candidate(2, 9_950, None);
        let longer = candidate(3, 30_000, None);
        let with = |change: fn(&mut Candidate)| {
            let mut changed = shorter;
            change(&mut changed);
            vec![primary, changed]
        };
        for (candidates, part) in [
            (vec![], "no neighbour has a route"),
            (vec![primary], "0101010101010101 is the only neighbour"),
            (vec![primary, longer], "shortest way: 20.0 ms, the next one, 03"),
            (vec![primary, shorter], "02 would have 9.9 ms but must stay"),
            (with(|it| it.feasible = false), "a cycle could close"),
            (with(|it| it.suspect = true), "suspected"),
            (with(|it| it.full = true), "takes no more"),
            (with(|it| it.role = Some(Role::Pending)), "caught up"),
            (vec![shorter, longer], "none is used"),
            (
                vec![candidate(4, 5_000, Some(Role::Tentative))],
                "0404040404040404 is tried meanwhile",
            ),
        ] {
            let told = why(&candidates);
            assert!(told.contains(part), "{told}");
        }
    }
}
