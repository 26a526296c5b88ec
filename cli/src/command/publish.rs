//! `moq publish`: media or lines, written to tracks that are served on whatever session there is.
//!
//! Writing and serving are apart: the tracks keep their last groups, a lost session is dialled again and the tracks are
//! served there, so a relay that restarts is filled again.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use headwater_pubsub::net::{Clock, Goaway, NamespacePublication, PublishedTrack, RequestEnd, RequestFailed};
use headwater_pubsub::wire::RequestErrorCode;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::unix_ms;
use crate::args::PublishArgs;
use crate::broadcast::{Broadcast, Lines, Written};
use crate::exit::{Exit, Failure};
use crate::link::{Link, Moves, Session, elsewhere};
use crate::media::package::{Packager, PackagerConfig, Packet};
use crate::output::{self, Console};
use crate::signal::Signals;
use crate::source::{Item, Pace, Repeat, Source};
use crate::target::path_of;

/// Longest line that becomes an object.
const MAX_LINE: usize = 1 << 20;
/// Lines of one second share a group.
const LINE_GROUP: Duration = Duration::from_secs(1);
/// How often progress is shown.
const PROGRESS: Duration = Duration::from_secs(1);
/// How long the last objects may take to leave when the input has ended.
const FAREWELL: Duration = Duration::from_secs(10);
/// Pause before a namespace that was refused or revoked is published again.
const RETRY: Duration = Duration::from_secs(1);

pub(super) async fn run(args: &PublishArgs, console: &Console) -> Result<Exit, Failure> {
    let mut tasks = JoinSet::new();
    let signals = Signals::listen(&mut tasks)?;
    let work = async {
        if args.lines {
            lines(args, console).await
        } else {
            media(args, console, &mut JoinSet::new()).await
        }
    };
    tokio::select! {
        done = work => done.map(|()| Exit::Ok),
        () = signals.stop.cancelled() => Ok(Exit::Interrupted),
    }
}

async fn media(args: &PublishArgs, console: &Console, tasks: &mut JoinSet<()>) -> Result<(), Failure> {
    let repeat = if args.repeat {
        Repeat::Forever
    } else {
        Repeat::Once
    };
    let mut source = Source::open(&args.input, repeat, tasks)?;
    let link = Link::new(&args.connect, Clock::new())?;
    let session = link.dial().await?;
    let unusable = |error| Failure::new(Exit::Input, error).context(name_of(&args.input));
    let tracks = source.tracks().await.map_err(unusable)?;
    for track in &tracks {
        console.note(format!("{} {}", track.kind, track.codec));
    }
    let mut broadcast = Broadcast::new(link.target(), &tracks, link.clock())?;
    let published = broadcast.tracks();
    let show = Show::new(args, &link, console);
    let ending = CancellationToken::new();
    let serving = serve(&link, session, &published, console, &ending);
    tokio::pin!(serving);
    let mut packager = Packager::new(&tracks, PackagerConfig::default());
    let produced = tokio::select! {
        produced = produce(&mut source, &mut packager, &mut broadcast, show) => produced,
        served = &mut serving => return served,
    };
    // What is complete is delivered, whatever happened to the rest.
    broadcast
        .end()
        .map_err(|error| Failure::new(Exit::Input, error))?;
    ending.cancel();
    serving.await?;
    link.finish().await;
    produced.map_err(|failure| failure.context(name_of(&args.input)))
}

fn name_of(input: &Path) -> String {
    if input == Path::new("-") {
        "stdin".into()
    } else {
        input.display().to_string()
    }
}

/// Reads, packages and writes until the input ends.
async fn produce(
    source: &mut Source,
    packager: &mut Packager,
    broadcast: &mut Broadcast,
    mut show: Show<'_>,
) -> Result<(), Failure> {
    let mut pacer = Pacer::new(source.pace());
    let unusable = |error: anyhow::Error| Failure::new(Exit::Input, error);
    loop {
        let item = tokio::select! {
            item = source.next() => item.map_err(|error| unusable(error.into())),
            () = show.due() => {
                show.show(broadcast.written()).await;
                continue;
            }
        };
        // Frames that are whole leave before an error is told.
        let packets = match &item {
            Ok(Some(Item::Sample(sample))) => packager.push(sample.clone()),
            Ok(Some(Item::Again)) => packager.next_pass(),
            Ok(Some(Item::Tracks(_))) => Ok(Vec::new()),
            Ok(None) | Err(_) => packager.finish(),
        };
        for packet in packets.map_err(|error| unusable(error.into()))? {
            pacer.wait(&packet).await;
            broadcast
                .push(packet, unix_ms())
                .map_err(|error| unusable(error.into()))?;
        }
        if item?.is_none() {
            show.show(broadcast.written()).await;
            return Ok(());
        }
    }
}

/// Holds packets back until they are due.
#[derive(Debug)]
pub(super) struct Pacer {
    pace: Pace,
    start: Option<(Instant, u64)>,
}

impl Pacer {
    pub(super) const fn new(pace: Pace) -> Self {
        Self { pace, start: None }
    }

    pub(super) async fn wait(&mut self, packet: &Packet) {
        if self.pace == Pace::Live {
            return;
        }
        let (start, first) = *self
            .start
            .get_or_insert_with(|| (Instant::now(), packet.timestamp));
        let due = Duration::from_micros(packet.timestamp.saturating_sub(first));
        tokio::time::sleep_until(start + due).await;
    }
}

async fn lines(args: &PublishArgs, console: &Console) -> Result<(), Failure> {
    let input: Box<dyn AsyncBufRead + Unpin> = if args.input == Path::new("-") {
        Box::new(BufReader::new(tokio::io::stdin()))
    } else {
        let file = tokio::fs::File::open(&args.input).await.map_err(|error| {
            Failure::say(
                Exit::Input,
                format!("cannot open {}: {error}; check the name", args.input.display()),
            )
        })?;
        Box::new(BufReader::new(file))
    };
    let link = Link::new(&args.connect, Clock::new())?;
    let session = link.dial().await?;
    let name = args.track.as_deref().unwrap_or_default();
    let mut track = Lines::new(link.target(), name, link.clock())?;
    let published = track.tracks();
    let show = Show::new(args, &link, console);
    let ending = CancellationToken::new();
    let serving = serve(&link, session, &published, console, &ending);
    tokio::pin!(serving);
    let produced = tokio::select! {
        produced = produce_lines(input, &mut track, show) => produced,
        served = &mut serving => return served,
    };
    track.end().map_err(|error| Failure::new(Exit::Input, error))?;
    ending.cancel();
    serving.await?;
    link.finish().await;
    produced
}

async fn produce_lines(
    mut input: Box<dyn AsyncBufRead + Unpin>,
    track: &mut Lines,
    mut show: Show<'_>,
) -> Result<(), Failure> {
    let unusable = |error: anyhow::Error| Failure::new(Exit::Input, error).context("cannot publish a line");
    let mut line = Vec::new();
    let group_end = tokio::time::sleep(LINE_GROUP);
    tokio::pin!(group_end);
    loop {
        tokio::select! {
            read = fill(&mut input, &mut line) => {
                let more = read.map_err(|error| unusable(error.into()))?;
                if more || !line.is_empty() {
                    if !track.is_open() {
                        group_end.as_mut().reset(Instant::now() + LINE_GROUP);
                    }
                    let line = Bytes::from(std::mem::take(&mut line));
                    track.line(line, unix_ms()).map_err(|error| unusable(error.into()))?;
                }
                if !more {
                    show.show(track.written()).await;
                    return Ok(());
                }
            }
            () = &mut group_end, if track.is_open() => track.end_group().map_err(|error| unusable(error.into()))?,
            () = show.due() => show.show(track.written()).await,
        }
    }
}

/// Reads on until `line` is whole, without its line break; false at the end of the input. Cancel-safe: what was read stays.
async fn fill(input: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> std::io::Result<bool> {
    loop {
        let buffer = input.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
        if line.len() + part.len() > MAX_LINE {
            return Err(std::io::Error::other(format!(
                "it is longer than {MAX_LINE} bytes"
            )));
        }
        line.extend_from_slice(part);
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(true);
        }
    }
}

/// Serves `tracks` on `session` and those that follow it, until `ending`: then what is due is sent and the session closed.
///
/// # Errors
/// The server refuses the namespace, or servers send it to one another.
pub(super) async fn serve(
    link: &Link,
    mut session: Session,
    tracks: &[PublishedTrack],
    console: &Console,
    ending: &CancellationToken,
) -> Result<(), Failure> {
    let namespace = &link.target().namespace;
    let mut moves = Moves::default();
    let mut left = None;
    // Of the same session, until it is published again.
    let mut old = None;
    loop {
        for track in tracks {
            session.client.serve(track);
        }
        let asked = session.client.publish_namespace(namespace.clone(), Vec::new());
        let next = match asked.await {
            Ok(publication) => {
                drop(old.take());
                let place = link.target().place();
                console.note(format!("publishing {} at {place}", path_of(namespace)));
                published(link, &mut session, publication, &mut left, console, ending).await
            }
            Err(failed) if left.is_none() && failed.code().is_some_and(is_final) => {
                return Err(refused(&failed, link));
            }
            Err(failed) => {
                tracing::info!(%failed, "the namespace is not published yet");
                tokio::time::sleep(RETRY).await;
                Next::Elsewhere
            }
        };
        if let Next::Again(_) | Next::Moved(_) = &next {
            let sent = |circles| Failure::new(Exit::Refused, circles).context(path_of(namespace));
            moves.count(Instant::now()).map_err(sent)?;
        }
        let before = match next {
            Next::Again(publication) => {
                old = Some(publication);
                continue;
            }
            Next::Moved(moved) => {
                let (to, publication) = *moved;
                left.replace(Left {
                    session: std::mem::replace(&mut session, to),
                    publication: Some(publication),
                    until: Instant::now() + FAREWELL,
                })
            }
            Next::Elsewhere => left.take(),
            Next::End => {
                session.close().await;
                return Ok(());
            }
        };
        let Some(before) = before else {
            if left.is_none() {
                session.close().await;
                session = tokio::select! {
                    session = link.redial(console) => session,
                    () = ending.cancelled() => return Ok(()),
                };
            }
            continue;
        };
        if left.is_some() {
            before.session.close().await;
        } else {
            // Where we were sent, we are not wanted: back to where we are.
            std::mem::replace(&mut session, before.session).close().await;
        }
    }
}

/// A session whose server sent the namespace elsewhere. What is subscribed to there is sent for a while yet.
struct Left {
    session: Session,
    /// Until the namespace is published at the new place.
    publication: Option<NamespacePublication>,
    until: Instant,
}

/// What to do when a namespace is published no more.
enum Next {
    /// Publish it again on the same session.
    Again(NamespacePublication),
    /// Publish it on this session; the old one goes on until then.
    Moved(Box<(Session, NamespacePublication)>),
    /// Publish it on another session: the one before, or a new one.
    Elsewhere,
    /// All is sent.
    End,
}

/// Waits for whatever ends a publication.
async fn published(
    link: &Link,
    session: &mut Session,
    mut publication: NamespacePublication,
    left: &mut Option<Left>,
    console: &Console,
    ending: &CancellationToken,
) -> Next {
    let mut goaway = publication.goaway();
    if let Some(left) = left {
        drop(left.publication.take());
    }
    loop {
        let until = left.as_ref().map(|left| left.until);
        let grace = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            end = publication.ended() => {
                if end == RequestEnd::Session {
                    link.lost(session, console).await;
                } else {
                    tracing::info!(?end, "the relay wants the namespace no more");
                    tokio::time::sleep(RETRY).await;
                }
                break;
            }
            () = link.lost(session, console) => break,
            () = grace => {
                if let Some(left) = left.take() {
                    left.session.close().await;
                }
            }
            goaway = goaway.heard() => return moved(link, publication, &goaway, console).await,
            () = ending.cancelled() => {
                // Somebody who reads too slowly does not keep us.
                let _late = tokio::time::timeout(FAREWELL, session.quiet()).await.is_err();
                return Next::End;
            }
        }
    }
    if let Some(left) = left.take() {
        left.session.close().await;
    }
    Next::Elsewhere
}

/// The server sends the namespace elsewhere.
async fn moved(link: &Link, publication: NamespacePublication, goaway: &Goaway, console: &Console) -> Next {
    let Some(url) = elsewhere(goaway) else {
        return Next::Again(publication);
    };
    console.note(format!("{} sends us to {url}", link.target().place()));
    match link.dial_elsewhere(&url).await {
        Ok(session) => Next::Moved(Box::new((session, publication))),
        Err(failure) => {
            tracing::warn!(%failure, "sent elsewhere in vain; publishing here again");
            Next::Again(publication)
        }
    }
}

fn is_final(code: RequestErrorCode) -> bool {
    !matches!(
        code,
        RequestErrorCode::GOING_AWAY
            | RequestErrorCode::TIMEOUT
            | RequestErrorCode::EXCESSIVE_LOAD
            | RequestErrorCode::INTERNAL_ERROR
    )
}

fn refused(failed: &RequestFailed, link: &Link) -> Failure {
    let what = format!(
        "{} does not let us publish {}",
        link.target().place(),
        path_of(&link.target().namespace)
    );
    let advice = match failed.code() {
        Some(RequestErrorCode::UNAUTHORIZED) => {
            "; pass the relay's --token, or another publisher has this name: choose another"
        }
        _ => "",
    };
    Failure::say(Exit::Refused, format!("{what}: {failed}{advice}"))
}

/// How the progress is shown.
struct Show<'a> {
    console: &'a Console,
    json: Option<output::Data>,
    name: String,
    clock: Clock,
    next: Instant,
    last: (Duration, u64),
}

impl<'a> Show<'a> {
    fn new(args: &PublishArgs, link: &Link, console: &'a Console) -> Self {
        Self {
            console,
            json: args.json.then(output::Data::stdout),
            name: path_of(&link.target().namespace),
            clock: link.clock(),
            next: Instant::now() + PROGRESS,
            last: (link.clock().now(), 0),
        }
    }

    /// Waits until the next step of progress. Cancel-safe.
    async fn due(&self) {
        tokio::time::sleep_until(self.next).await;
    }

    async fn show(&mut self, written: Written) {
        self.next = Instant::now() + PROGRESS;
        let now = self.clock.now();
        let (since, bytes) = std::mem::replace(&mut self.last, (now, written.bytes));
        let (delta, time) = (written.bytes.saturating_sub(bytes), now.saturating_sub(since));
        let Written {
            groups,
            objects,
            bytes,
        } = written;
        if let Some(data) = &mut self.json {
            let line = serde_json::json!({
                "groups": groups, "objects": objects, "bytes": bytes,
                "bits_per_second": output::bits_per_second(delta, time),
            });
            // Publishing goes on without its audience.
            let _gone = output::data_line(data, &line.to_string()).await.is_err();
        } else {
            let rate = output::rate(delta, time);
            let size = output::size(bytes);
            self.console.progress(format!(
                "{}  {groups} groups  {objects} objects  {size}  {rate}",
                self.name
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use headwater_pubsub::net::Client;

    use super::*;
    use crate::servers::Server;

    /// Waits until a server has been told of `live`.
    async fn published_at(server: &Server) -> Client {
        loop {
            if let Some(client) = server.clients().pop()
                && !client.published_namespaces().present().is_empty()
            {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_namespace_that_is_sent_elsewhere_is_published_there_until_it_goes_in_circles() {
        let clock = Clock::new();
        let servers = [(); 2].map(|()| Server::start(clock, None));
        let link = servers[0].link(clock);
        let session = link.dial().await.unwrap();
        let namespace = link.target().namespace.clone();
        let (console, ending) = (Console::new(true), CancellationToken::new());
        let tracks = [servers[0].track("t")];
        let sending = async {
            for round in 0.. {
                let [here, there] = [round % 2, (round + 1) % 2].map(|at: usize| servers.get(at).unwrap());
                let uri = there.target.url.to_string();
                // The session before this one may not have heard yet that the namespace is withdrawn there.
                while published_at(here)
                    .await
                    .send_namespace_goaway(&namespace, &uri, Duration::ZERO)
                    == 0
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        let failure = tokio::select! {
            served = serve(&link, session, &tracks, &console, &ending) => served.unwrap_err(),
            () = sending => unreachable!(),
        };
        assert!(failure.to_string().contains("in a row"), "{failure}");
        assert!(servers.iter().all(|server| server.clients().len() >= 2));
    }

    async fn lines_of(input: &[u8]) -> Vec<(String, bool)> {
        let mut reader = BufReader::with_capacity(3, input);
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            let more = fill(&mut reader, &mut line).await.unwrap();
            lines.push((String::from_utf8(line).unwrap(), more));
            if !more {
                return lines;
            }
        }
    }

    #[tokio::test]
    async fn lines_are_cut_at_line_breaks_of_both_kinds() {
        let line = |text: &str, more| (text.to_owned(), more);
        assert_eq!(lines_of(b"").await, [line("", false)]);
        assert_eq!(
            lines_of(b"first\r\n\nsecond").await,
            [line("first", true), line("", true), line("second", false)]
        );
    }

    #[tokio::test]
    async fn an_endless_line_is_refused() {
        let long = vec![b'x'; MAX_LINE + 1];
        let error = fill(&mut long.as_slice(), &mut Vec::new())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("longer than"), "{error}");
    }
}
