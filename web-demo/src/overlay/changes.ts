/// What happened between two answers, as sentences for the log.
import { labels, type Mesh, type MeshLink } from './model';
import { turned, type Ways } from './ways';

export interface Change {
  /** Good: something came or recovered. Bad: something went or suffers. Turn: media takes another way. */
  readonly kind: 'good' | 'bad' | 'turn';
  readonly text: string;
}

/** Round trips that change by less than this, or by less than half, are noise. */
const RTT_CHANGE_MS = 10;
/** Loss above this is told of, and that it ended when it is under half of it. */
const LOSS = 0.02;
/** In a large mesh one node that leaves turns many; more than this are told as a number. */
const MOST_TURNS = 5;

export function changes(before: Mesh, after: Mesh, ways?: { before: Ways; after: Ways }): Change[] {
  const name = labels(before, after);
  const pair = (link: MeshLink) => link.ends.map(name).join(' – ');
  const found = [...nodeChanges(before, after)];
  const gone = new Set(before.nodes.map(({ id }) => id).filter((id) => !after.nodes.some((node) => node.id === id)));
  const came = new Set(after.nodes.map(({ id }) => id).filter((id) => !before.nodes.some((node) => node.id === id)));
  const now = new Map(after.links.map((link) => [link.key, link]));
  const then = new Map(before.links.map((link) => [link.key, link]));
  for (const link of before.links) {
    // A node that left took its links along: one sentence is enough.
    if (!now.has(link.key) && !link.ends.some((id) => gone.has(id))) found.push(bad(`${pair(link)}: link gone`));
  }
  for (const link of after.links) {
    const old = then.get(link.key);
    if (old !== undefined) found.push(...linkChanges(old, link, pair(link)));
    else if (!link.ends.some((id) => came.has(id))) found.push(good(`${pair(link)}: new link`));
  }
  const turns = ways === undefined ? [] : turned(ways.before, ways.after);
  for (const { node, from, to } of turns.slice(0, MOST_TURNS)) {
    found.push({ kind: 'turn', text: `${name(node)} turned from ${name(from)} to ${name(to)}` });
  }
  const more = turns.length - MOST_TURNS;
  if (more > 0) found.push({ kind: 'turn', text: `and ${more} more turned` });
  return found;
}

function nodeChanges(before: Mesh, after: Mesh): Change[] {
  const then = new Map(before.nodes.map((node) => [node.id, node]));
  const now = new Set(after.nodes.map(({ id }) => id));
  const left = before.nodes.filter(({ id }) => !now.has(id)).map(({ label }) => bad(`${label} is gone`));
  const others = after.nodes.flatMap((node) => {
    const old = then.get(node.id);
    if (old === undefined) return [good(`${node.label} is there`)];
    return node.uptime < old.uptime ? [bad(`${node.label} has started again`)] : [];
  });
  return [...left, ...others];
}

function linkChanges(old: MeshLink, link: MeshLink, pair: string): Change[] {
  const found: Change[] = [];
  if (old.health !== link.health) {
    if (link.health === 'ok') found.push(good(`${pair}: heard again`));
    else found.push(bad(`${pair}: ${link.health === 'down' ? 'down' : 'silent'}`));
  }
  if (old.loss <= LOSS && link.loss > LOSS) found.push(bad(`${pair}: loses ${percent(link.loss)}`));
  if (old.loss > LOSS / 2 && link.loss <= LOSS / 2) found.push(good(`${pair}: loses nothing any more`));
  if (old.rtt !== undefined && link.rtt !== undefined) {
    const [less, more] = [Math.min(old.rtt, link.rtt), Math.max(old.rtt, link.rtt)];
    if (more - less >= RTT_CHANGE_MS && more >= less * 1.5) {
      const text = `${pair}: round trip ${Math.round(old.rtt)} → ${Math.round(link.rtt)} ms`;
      found.push(link.rtt < old.rtt ? good(text) : bad(text));
    }
  }
  return found;
}

function percent(part: number): string {
  return `${(part * 100).toFixed(1)} %`;
}

function good(text: string): Change {
  return { kind: 'good', text };
}

function bad(text: string): Change {
  return { kind: 'bad', text };
}
