//! The table: medians, their spread, and each as a multiple of the bare server's; then what was to be reached.

use super::Fan;
use super::driver::{Kind, Turn};
use super::pattern::Name;
use crate::figures::verdict;

/// Memory of a session that is sent nothing.
const IDLE_SESSION: f64 = 64.0 * 1024.0;
/// Memory of a relay with a thousand of them.
const IDLE_RELAY: f64 = 90e6;
/// What a subscriber who does not read may cost: the send window (`limits.send_window`), and what it may be behind in the cache that
/// all share (`limits.lag_bytes`) is there for all of them once.
const STALLED: f64 = 4.0 * 1024.0 * 1024.0;
const LAG: f64 = 32.0 * 1024.0 * 1024.0;
/// How much dearer those who read may become by those who do not, given the noise.
const UNMOVED: f64 = 1.1;

/// Turns of one kind of server, in the order of their rounds.
type Turns = Vec<(Kind, Vec<Turn>)>;

pub(super) struct Table {
    all: Vec<(Name, Turns)>,
}

/// Of all turns: the one in the middle, and the first and the last by size.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: at(values.len() / 2),
            least: at(0),
            most: at(values.len().saturating_sub(1)),
        }
    }

    fn text(&self, digits: usize) -> String {
        if self.median.is_finite() {
            format!(
                "{:.digits$} ({:.digits$}-{:.digits$})",
                self.median, self.least, self.most
            )
        } else {
            String::new()
        }
    }
}

/// CPU seconds per gigabyte.
fn per_gigabyte(turn: &Turn) -> f64 {
    turn.cpu / turn.bytes * 1e9
}

/// What a pattern costs: for each session that came where they come, for the bytes elsewhere.
fn cost(name: Name) -> fn(&Turn) -> f64 {
    match name {
        Name::Join => |turn| turn.cpu / turn.joined,
        _ => per_gigabyte,
    }
}

fn p99(turn: &Turn) -> f64 {
    turn.p99
}

fn of(turns: &Turns, kind: Kind) -> Option<&[Turn]> {
    turns
        .iter()
        .find(|(of, _)| *of == kind)
        .map(|(_, turns)| turns.as_slice())
}

/// Nothing where nothing came.
fn delays(turns: &[Turn]) -> String {
    let median = |value: fn(&Turn) -> f64| Spread::of(turns.iter().map(value)).median;
    match median(p99) {
        some if some.is_finite() => {
            let (p50, max) = (median(|turn| turn.p50), median(|turn| turn.max));
            format!("{p50:.1} / {some:.1} / {max:.1}")
        }
        _ => String::new(),
    }
}

/// The quotients of two servers' turns in the same round.
fn quotient(turns: &[Turn], bare: &[Turn], value: fn(&Turn) -> f64) -> Spread {
    Spread::of(
        turns
            .iter()
            .zip(bare)
            .map(|(turn, bare)| value(turn) / value(bare)),
    )
}

impl Table {
    pub(super) fn begin(fan: &Fan) -> Self {
        println!(
            "\n{} turns of {} s each: median (least-most); a ratio is the median of the ratios of each round\n",
            fan.rounds, fan.seconds
        );
        println!(
            "| pattern | server | delivered, MB/s | CPU-s per GB | of bare | us per object | memory, MB | a session, KiB | delay p50 / p99 / max, ms | p99 of bare |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|");
        Self { all: Vec::new() }
    }

    pub(super) fn rows(&mut self, name: Name, turns: Turns) {
        for (kind, done) in &turns {
            let median = |value: fn(&Turn) -> f64| Spread::of(done.iter().map(value));
            let of_bare = |value: fn(&Turn) -> f64| match of(&turns, Kind::Bare) {
                Some(bare) if *kind != Kind::Bare => quotient(done, bare, value).text(2),
                _ => String::new(),
            };
            #[expect(clippy::cast_precision_loss, reason = "some thousands at most")]
            let sessions = name.pattern().sessions as f64;
            println!(
                "| {} | {} | {:.1} | {} | {} | {} | {:.0} | {:.0} | {} | {} |",
                name.text(),
                kind.text(),
                median(|turn| turn.bytes / turn.seconds / 1e6).median,
                median(per_gigabyte).text(2),
                of_bare(cost(name)),
                median(|turn| turn.cpu / turn.objects * 1e6).text(1),
                median(|turn| turn.resident / 1e6).median,
                median(|turn| turn.sessions / 1024.0).median / sessions,
                delays(done),
                of_bare(p99),
            );
        }
        self.all.push((name, turns));
    }

    /// What was to be reached, and whether it was.
    pub(super) fn end(&self) {
        let targets: Vec<Target> = self
            .all
            .iter()
            .flat_map(|(name, turns)| {
                let own = targets(*name, turns);
                own.into_iter().chain(
                    (*name == Name::Slow)
                        .then(|| self.slow(turns))
                        .into_iter()
                        .flatten(),
                )
            })
            .collect();
        println!("\n| target | limit | measured | |\n|---|---|---|---|");
        for target in &targets {
            println!(
                "| {} | {:.2} | {} | {} |",
                target.what,
                target.limit,
                target.got.text(2),
                verdict(target.is_met()),
            );
        }
        let missed = targets.iter().filter(|target| !target.is_met()).count();
        println!("\n{missed} of {} targets missed", targets.len());
    }

    /// Those who read are served as if the others did.
    fn slow(&self, turns: &Turns) -> Vec<Target> {
        let video = self.all.iter().find(|(name, _)| *name == Name::Video);
        let Some((video, slow)) = video
            .and_then(|(_, video)| of(video, Kind::Relay))
            .zip(of(turns, Kind::Relay))
        else {
            return Vec::new();
        };
        #[expect(clippy::cast_precision_loss, reason = "some thousands at most")]
        let stalled = Name::Slow.pattern().stalled as f64;
        let beyond = slow
            .iter()
            .zip(video)
            .map(|(slow, video)| (slow.resident - video.resident) / (stalled * STALLED + LAG));
        vec![
            Target::new(
                "slow: CPU per GB, of video's",
                UNMOVED,
                quotient(slow, video, per_gigabyte),
            ),
            Target::new("slow: delay p99, of video's", UNMOVED, quotient(slow, video, p99)),
            Target::new(
                "slow: memory beyond video's, of what is stated",
                1.0,
                Spread::of(beyond),
            ),
        ]
    }
}

/// Something to be at most so much.
struct Target {
    what: String,
    limit: f64,
    got: Spread,
}

impl Target {
    fn new(what: impl Into<String>, limit: f64, got: Spread) -> Self {
        Self {
            what: what.into(),
            limit,
            got,
        }
    }

    fn is_met(&self) -> bool {
        self.got.median <= self.limit
    }
}

fn targets(name: Name, turns: &Turns) -> Vec<Target> {
    let text = name.text();
    let (Some(relay), Some(bare)) = (of(turns, Kind::Relay), of(turns, Kind::Bare)) else {
        return Vec::new();
    };
    if name == Name::Smoke {
        return Vec::new();
    }
    if name == Name::Idle {
        #[expect(clippy::cast_precision_loss, reason = "some thousands at most")]
        let sessions = name.pattern().sessions as f64;
        let each = Spread::of(relay.iter().map(|turn| turn.sessions / sessions / IDLE_SESSION));
        let all = Spread::of(relay.iter().map(|turn| turn.resident / IDLE_RELAY));
        return vec![
            Target::new("idle: memory of a session, of 64 KiB", 1.0, each),
            Target::new("idle: memory of the relay, of 90 MB", 1.0, all),
        ];
    }
    let (cpu, delay) = match name {
        Name::Audio | Name::Chat | Name::Many => (1.3, 1.5),
        Name::Join => (1.3, 2.0),
        _ => (1.2, 1.5),
    };
    let mut targets = vec![
        Target::new(
            format!("{text}: CPU, of bare"),
            cpu,
            quotient(relay, bare, cost(name)),
        ),
        Target::new(
            format!("{text}: delay p99, of bare"),
            delay,
            quotient(relay, bare, p99),
        ),
    ];
    if let Some(web) = of(turns, Kind::Web) {
        targets.push(Target::new(
            format!("{text}: CPU over WebTransport, of raw QUIC's"),
            1.15,
            quotient(web, relay, cost(name)),
        ));
    }
    if let Some(two) = of(turns, Kind::Two) {
        targets.push(Target::new(
            format!("{text}: CPU with two threads, of one's"),
            1.1,
            quotient(two, relay, cost(name)),
        ));
        targets.push(Target::new(
            format!("{text}: the busier of two threads"),
            0.6,
            Spread::of(two.iter().map(|turn| turn.busiest)),
        ));
    }
    targets
}
