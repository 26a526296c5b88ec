//! Audio and video as fragmented MP4: one, until the broadcast describes its tracks otherwise; then another.

mod follow;

use std::time::Duration;

use headwater_pubsub::net::ReceivedObject;
use tokio::time::Instant;

use self::follow::{Follow, Item};
use super::{Feeds, Reading, Stop};
use crate::args::SubscribeArgs;
use crate::exit::{Exit, Failure};
use crate::feed::Event;
use crate::media::MediaKind;
use crate::media::bare;
use crate::media::catalog::{Catalog, CatalogTrack, HANG_TRACK, MSF_TRACK};
use crate::media::mux::{MuxError, Muxer};
use crate::output::Data;

/// How long the MSF catalog may come after the hang catalog and still be preferred.
const CATALOG_GRACE: Duration = Duration::from_millis(300);
/// How long the end waits for what feeds have at hand.
const LAST_MOMENT: Duration = Duration::from_millis(500);
const MSF: usize = 0;
const HANG: usize = 1;

/// What is read of a broadcast besides its media.
struct Catalogs {
    feeds: Feeds,
    /// The form that is followed.
    form: usize,
    over: bool,
}

/// A description of the broadcast, and the group of its catalog.
struct Described {
    catalog: Catalog,
    group: u64,
}

/// What was received and not written, by track.
type Held = Vec<(usize, Item<ReceivedObject>)>;

/// How the writing of one MP4 ended.
enum Done {
    Over(Exit),
    /// The tracks are described otherwise from here on.
    Changed(Described, Held),
}

pub(super) async fn run(reading: &Reading, args: &SubscribeArgs, data: &mut Data) -> Result<Exit, Stop> {
    let stopped = reading.signals.stop.cancelled();
    let (mut catalogs, mut now) = tokio::select! {
        found = find_catalog(reading) => found?,
        () = stopped => return Ok(Exit::Interrupted),
    };
    let mut feeds: Option<(Vec<String>, Feeds)> = None;
    let mut held = Held::new();
    loop {
        let tracks = choose(&now.catalog, args).map_err(|failure| failure.context(reading.name()))?;
        introduce(reading, &now.catalog, &tracks);
        let names: Vec<_> = tracks.iter().map(|track| track.name.clone()).collect();
        let (_, live) = match feeds.take().filter(|(old, _)| *old == names) {
            Some(same) => feeds.insert(same),
            None => {
                // Other tracks are read from their newest groups.
                held.clear();
                let opened = reading.feeds(names.iter().map(String::as_str))?;
                feeds.insert((names, opened))
            }
        };
        let inits: Vec<_> = tracks.iter().map(|track| track.init.clone()).collect();
        let writing = Writing {
            reading,
            args,
            tracks: &tracks,
            follow: Follow::new(tracks.len(), now.group),
            muxer: Muxer::new(&inits)
                .map_err(input)?
                .framed(tracks.iter().map(|track| track.framing.clone())),
            live: tracks.len(),
            data,
        };
        let done = writing.run(&mut catalogs, live, std::mem::take(&mut held)).await;
        match done? {
            Done::Over(exit) => return Ok(exit),
            Done::Changed(described, rest) => {
                next_file(reading, data).await?;
                (now, held) = (described, rest);
            }
        }
    }
}

fn introduce(reading: &Reading, catalog: &Catalog, tracks: &[&CatalogTrack]) {
    for skipped in &catalog.skipped {
        reading.console.note(format!("passed over: {skipped}"));
    }
    for track in tracks {
        reading
            .console
            .note(format!("{} {} ({})", track.kind, track.name, track.codec));
    }
}

/// An MP4 cannot change its description: another one goes on.
async fn next_file(reading: &Reading, data: &mut Data) -> Result<(), Stop> {
    data.flush().await?;
    let Some(next) = data.next().await? else {
        return Err(Failure::say(
            Exit::Input,
            format!(
                "{} changed its format, which an MP4 on stdout cannot follow; start again for the rest, or let --output FILE go on \
                 in a second file",
                reading.name()
            ),
        )
        .into());
    };
    reading.console.note(format!(
        "{} changed its format; going on in {}",
        reading.name(),
        next.place()
    ));
    *data = next;
    Ok(())
}

fn input(error: MuxError) -> Stop {
    Stop::Failed(Failure::new(Exit::Input, error))
}

/// One MP4 on its way.
struct Writing<'a> {
    reading: &'a Reading,
    args: &'a SubscribeArgs,
    tracks: &'a [&'a CatalogTrack],
    follow: Follow<ReceivedObject>,
    muxer: Muxer,
    /// Tracks that have not ended.
    live: usize,
    data: &'a mut Data,
}

impl Writing<'_> {
    /// Writes it whole, beginning with what was held.
    async fn run(mut self, catalogs: &mut Catalogs, feeds: &mut Feeds, held: Held) -> Result<Done, Stop> {
        let header = self.muxer.header().map_err(input)?;
        self.data.write(&header).await?;
        self.data.flush().await?;
        let done = self.copy(catalogs, feeds, held).await;
        if !self.data.is_broken() {
            for fragment in self.muxer.finish().map_err(input)? {
                self.data.write(&fragment).await?;
            }
        }
        if self.muxer.dropped() > 0 {
            let count = self.muxer.dropped();
            let note =
                format!("frames left out: {count} (before the first keyframe, or too late for their place)");
            self.reading.console.note(note);
        }
        Ok(match done? {
            Some(described) => Done::Changed(described, self.follow.into_held()),
            None if self.live == 0 => Done::Over(Exit::Ok),
            None => Done::Over(Exit::Interrupted),
        })
    }

    /// Writes objects until all tracks have ended, the user has seen enough, or the tracks are described otherwise.
    async fn copy(
        &mut self,
        catalogs: &mut Catalogs,
        feeds: &mut Feeds,
        held: Held,
    ) -> Result<Option<Described>, Stop> {
        let clock = Instant::now();
        let mut next: Option<Described> = None;
        for (track, item) in held {
            let ready = self.follow.push(clock.elapsed(), track, item);
            self.write(ready).await?;
        }
        let mut feeding = true;
        while self.live > 0 {
            if let Some(next) = next.take_if(|_| self.follow.is_over()) {
                return Ok(Some(next));
            }
            let due = self.follow.deadline().map(|at| clock + at);
            if !feeding && due.is_none() {
                break;
            }
            let ready = tokio::select! {
                event = feeds.next(), if feeding => match event {
                    Some((track, event)) => match self.item(track, event)? {
                        Some(item) => self.follow.push(clock.elapsed(), track, item),
                        None => continue,
                    },
                    None => {
                        feeding = false;
                        continue;
                    }
                },
                described = catalogs.next() => match self.is_same(&described) {
                    true => self.follow.same(described.group),
                    false => {
                        let ready = self.follow.changed(clock.elapsed(), described.group);
                        next = Some(described);
                        ready
                    }
                },
                () = at(due) => self.follow.tick(clock.elapsed()),
                () = self.reading.signals.stop.cancelled() => {
                    self.rest(clock, feeds).await?;
                    return Ok(None);
                }
            };
            self.write(ready).await?;
        }
        self.live = 0;
        Ok(None)
    }

    /// Writes what has come and waits, for the user has seen enough.
    async fn rest(&mut self, clock: Instant, feeds: &mut Feeds) -> Result<(), Stop> {
        feeds.stop();
        let until = Instant::now() + LAST_MOMENT;
        loop {
            let event = tokio::select! {
                biased;
                () = self.reading.signals.abort.cancelled() => None,
                () = tokio::time::sleep_until(until) => None,
                event = feeds.next() => event,
            };
            match event {
                None => break,
                // It does not matter any more.
                Some((_, Event::Refused(_))) => {}
                Some((track, event)) => {
                    if let Some(item) = self.item(track, event)? {
                        let ready = self.follow.push(clock.elapsed(), track, item);
                        self.write(ready).await?;
                    }
                }
            }
        }
        let ready = self.follow.tick(Duration::MAX);
        self.write(ready).await?;
        self.live = self.live.max(1);
        Ok(())
    }

    fn is_same(&self, described: &Described) -> bool {
        // What cannot be chosen any more ends the next round with the reason.
        choose(&described.catalog, self.args).is_ok_and(|tracks| {
            let of = |track: &CatalogTrack| (track.name.clone(), track.init.clone(), track.framing.clone());
            tracks
                .iter()
                .map(|track| of(track))
                .eq(self.tracks.iter().map(|track| of(track)))
        })
    }

    fn name(&self, track: usize) -> &str {
        self.tracks
            .get(track)
            .map(|track| track.name.as_str())
            .unwrap_or_default()
    }

    fn item(&self, track: usize, event: Event) -> Result<Option<Item<ReceivedObject>>, Stop> {
        let name = self.name(track);
        match event {
            Event::Object(object) => Ok(Some(Item::Object {
                group: object.location.group,
                size: object.payload.len(),
                object,
            })),
            Event::Ended => Ok(Some(Item::Ended)),
            Event::Refused(failed) => Err(self.reading.refused(name, &failed).into()),
            Event::Waiting => {
                let waiting = format!("waiting for {name} of {}", self.reading.name());
                self.reading.console.note(waiting);
                Ok(None)
            }
            Event::Found => Ok(None),
        }
    }

    async fn write(&mut self, ready: Held) -> Result<(), Stop> {
        for (track, item) in ready {
            let fragments = match item {
                Item::Object { object, .. } => {
                    let taken = bare::Object {
                        first: object.location.object == 0,
                        properties: &object.properties,
                        payload: &object.payload,
                    };
                    match self.muxer.take(track, taken) {
                        Err(error @ (MuxError::Object { .. } | MuxError::Frame { .. })) => {
                            let name = self.name(track);
                            // As an error, which tells its cause as well.
                            let error: &(dyn std::error::Error + 'static) = &error;
                            tracing::warn!(track = name, at = ?object.location, error, "object passed over");
                            continue;
                        }
                        fragments => fragments,
                    }
                }
                Item::Ended => {
                    self.live = self.live.saturating_sub(1);
                    self.muxer.end_track(track)
                }
            };
            for fragment in fragments.map_err(input)? {
                self.data.write(&fragment).await?;
            }
            self.data.flush().await?;
        }
        Ok(())
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

impl Catalogs {
    const fn new(feeds: Feeds, form: usize) -> Self {
        let over = false;
        Self { feeds, form, over }
    }

    /// The next catalog that can be read. Cancel-safe.
    async fn next(&mut self) -> Described {
        while !self.over {
            match self.feeds.next().await {
                Some((form, Event::Object(object))) if form == self.form => {
                    let group = object.location.group;
                    match parse(form, &object.payload) {
                        Ok(catalog) => return Described { catalog, group },
                        Err(error) => tracing::warn!(%error, "catalog passed over"),
                    }
                }
                Some(_) => {}
                None => self.over = true,
            }
        }
        std::future::pending().await
    }
}

fn parse(form: usize, json: &[u8]) -> Result<Catalog, crate::media::catalog::CatalogError> {
    if form == MSF {
        Catalog::parse_msf(json)
    } else {
        Catalog::parse_hang(json)
    }
}

/// Reads both catalogs until one of them tells of tracks.
async fn find_catalog(reading: &Reading) -> Result<(Catalogs, Described), Stop> {
    let mut feeds = reading.feeds([MSF_TRACK, HANG_TRACK])?;
    let mut hang: Option<(Described, Instant)> = None;
    let mut problem: Option<Failure> = None;
    let mut left = 2;
    let mut waiting = false;
    while left > 0 {
        let grace = async {
            match &hang {
                Some((_, until)) => tokio::time::sleep_until(*until).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            event = feeds.next() => event,
            () = grace => break,
        };
        let Some((index, event)) = event else { break };
        match event {
            Event::Object(object) => {
                let group = object.location.group;
                match parse(index, &object.payload) {
                    Ok(catalog) if index == MSF => {
                        return Ok((Catalogs::new(feeds, MSF), Described { catalog, group }));
                    }
                    // A publisher that adds its tracks one by one tells of all of them in the newest.
                    Ok(catalog) => {
                        let until = hang.map_or_else(|| Instant::now() + CATALOG_GRACE, |(_, until)| until);
                        hang = Some((Described { catalog, group }, until));
                    }
                    // Another one follows when the broadcast changes.
                    Err(error) => {
                        let failure = Failure::new(Exit::Input, error).context(reading.name());
                        reading
                            .console
                            .note(format!("{failure}; waiting for another catalog"));
                        problem = Some(failure);
                    }
                }
            }
            Event::Waiting if !waiting => {
                waiting = true;
                reading.console.note(format!("waiting for {}", reading.name()));
            }
            Event::Waiting | Event::Found => {}
            Event::Ended => left -= 1,
            Event::Refused(failed) => {
                left -= 1;
                problem.get_or_insert_with(|| reading.refused("the catalog", &failed));
            }
        }
    }
    if let Some((described, _)) = hang {
        return Ok((Catalogs::new(feeds, HANG), described));
    }
    let nothing = || {
        Failure::say(
            Exit::Refused,
            format!("{} ended without a catalog", reading.name()),
        )
    };
    Err(Stop::Failed(problem.unwrap_or_else(nothing)))
}

/// The tracks to write: the ones asked for, else the first of each kind.
fn choose<'a>(catalog: &'a Catalog, args: &SubscribeArgs) -> Result<Vec<&'a CatalogTrack>, Failure> {
    let mut chosen = Vec::new();
    for (kind, name, without) in [
        (MediaKind::Video, &args.video, args.no_video),
        (MediaKind::Audio, &args.audio, args.no_audio),
    ] {
        if without {
            continue;
        }
        let mut tracks = catalog.tracks.iter().filter(|track| track.kind == kind);
        let Some(name) = name else {
            chosen.extend(tracks.next());
            continue;
        };
        match tracks.find(|track| track.name == *name) {
            Some(track) => chosen.push(track),
            None => {
                return Err(Failure::say(
                    Exit::Refused,
                    format!("no {kind} track {name:?}; {}", names(catalog)),
                ));
            }
        }
    }
    if chosen.is_empty() {
        return Err(Failure::say(
            Exit::Refused,
            format!("none of the tracks is wanted; {}", names(catalog)),
        ));
    }
    Ok(chosen)
}

fn names(catalog: &Catalog) -> String {
    let names: Vec<_> = catalog
        .tracks
        .iter()
        .map(|track| format!("{} {}", track.kind, track.name))
        .collect();
    format!("the broadcast has: {}", names.join(", "))
}

#[cfg(test)]
mod tests;
