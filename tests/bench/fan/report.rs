//! The table: medians, their spread, and each as a multiple of the bare server's.

use super::Fan;
use super::driver::{Kind, Turn};
use super::pattern::Name;

pub(super) struct Table;

/// Of all turns: the one in the middle, and the first and the last by size.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: at(values.len() / 2),
            least: at(0),
            most: at(values.len().saturating_sub(1)),
        }
    }

    fn text(&self, digits: usize) -> String {
        format!(
            "{:.digits$} ({:.digits$}-{:.digits$})",
            self.median, self.least, self.most
        )
    }
}

impl Table {
    pub(super) fn begin(fan: &Fan) -> Self {
        println!(
            "\n{} turns of {} s each: median (least-most); ratios are of medians\n",
            fan.rounds, fan.seconds
        );
        println!(
            "| pattern | server | delivered, MB/s | CPU-s per GB | of bare | us per object | memory, MB | delay p50 / p99 / max, ms | p99 of bare |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        Self
    }

    #[expect(clippy::unused_self, reason = "its head was printed")]
    pub(super) fn rows(&self, name: Name, turns: &[(Kind, Vec<Turn>)]) {
        let median = |turns: &[Turn], value: fn(&Turn) -> f64| Spread::of(turns.iter().map(value).collect());
        let bare = turns.iter().find(|(kind, _)| *kind == Kind::Bare);
        for (kind, turns) in turns {
            let cpu = median(turns, |turn| turn.cpu / turn.bytes * 1e9);
            let each = median(turns, |turn| turn.cpu / turn.objects * 1e6);
            let rate = median(turns, |turn| turn.bytes / turn.seconds / 1e6);
            let resident = median(turns, |turn| turn.resident / 1e6);
            let (p50, p99, max) = (
                median(turns, |turn| turn.p50),
                median(turns, |turn| turn.p99),
                median(turns, |turn| turn.max),
            );
            let of_bare = |value: f64, of: fn(&Turn) -> f64| match bare {
                Some((_, bare)) if *kind != Kind::Bare => format!("{:.2}x", value / median(bare, of).median),
                _ => String::new(),
            };
            println!(
                "| {} | {} | {:.1} | {} | {} | {} | {:.0} | {:.1} / {:.1} / {:.1} | {} |",
                name.text(),
                kind.text(),
                rate.median,
                cpu.text(2),
                of_bare(cpu.median, |turn| turn.cpu / turn.bytes * 1e9),
                each.text(1),
                resident.median,
                p50.median,
                p99.median,
                max.median,
                of_bare(p99.median, |turn| turn.p99),
            );
        }
    }
}
