/// Which picture plays when some of them cannot, and which subscriptions there are meanwhile.
import { describe, expect, it } from 'vitest';
import type { CatalogTrack } from '../../../src/media/catalog/model';
import { UnplayableError } from '../../../src/media/player/source';
import { VideoChooser } from '../../../src/media/player/videos';
import { MoqtError, RequestCode } from '../../../src/moqt';

const MISSING = new MoqtError('refused', RequestCode.doesNotExist, 'there is no such track');

/// A stage for the renditions ld, md and hd: what runs, what shows, what was told.
function stage(wish?: string) {
  const tracks = ['ld', 'md', 'hd'].map(
    (name, at): CatalogTrack => ({ name, kind: 'video', packaging: 'loc', codec: 'vp8', bitrate: at + 1 }),
  );
  const running = new Map<string, { end(): void; fail(error: Error): void }>();
  const seen = { shown: undefined as string | undefined, notes: [] as string[], menu: [] as string[], current: '' };
  const round = new AbortController();
  const chooser = new VideoChooser(
    tracks,
    {
      start: (track, stop) =>
        new Promise((resolve, reject) => {
          expect(running.has(track.name), `${track.name} twice`).toBe(false);
          const over = (settle: () => void) => () => {
            running.delete(track.name);
            settle();
          };
          running.set(track.name, { end: over(resolve), fail: (error) => over(() => reject(error))() });
          stop.addEventListener('abort', over(resolve));
        }),
      shown: () => seen.shown,
      renditions: (list, current, automatic) => {
        seen.menu = list.map(({ name }) => name);
        seen.current = `${current} ${automatic ? 'auto' : 'chosen'}`;
      },
      note: (note) => seen.notes.push(note),
    },
    round.signal,
    0,
    wish,
  );
  /// The picture of `name` shows in place of the one before.
  const show = (name: string | undefined) => {
    const before = seen.shown;
    seen.shown = name;
    if (before !== undefined) {
      chooser.replaced(before);
    }
  };
  const names = () => [...running.keys()].sort();
  return { chooser, seen, show, names, running, round };
}

/// Lets what was settled have its effect.
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('the choice of picture', () => {
  it('leaves out a track that does not exist, and plays the next poorer one', async () => {
    const { seen, names, running } = stage();
    expect(names()).toEqual(['hd']);
    running.get('hd')?.fail(MISSING);
    await settled();
    expect(names()).toEqual(['md']);
    expect(seen).toMatchObject({ menu: ['md', 'ld'], current: 'md auto', notes: ['hd: there is no such track'] });
  });

  it('leaves out what does not decode, chosen or not, and never takes it again', () => {
    const { chooser, seen, show, names } = stage();
    show('hd');
    chooser.choose('md', 1);
    expect(names()).toEqual(['hd', 'md']);
    chooser.undecodable('md', 'its picture cannot be decoded');
    // What showed before goes on to do so until the next poorer one is there.
    expect(names()).toEqual(['hd', 'ld']);
    expect(seen).toMatchObject({ menu: ['hd', 'ld'], current: 'ld auto' });
  });

  it('begins with what was chosen before, if that is there', () => {
    expect(stage('ld').names()).toEqual(['ld']);
    expect(stage('none').names()).toEqual(['hd']);
  });

  it('goes back to what still shows without asking for it again', () => {
    const { chooser, show, names } = stage();
    show('hd');
    chooser.choose('ld', 1);
    chooser.choose('hd', 2);
    expect(names()).toEqual(['hd']);
    chooser.choose('ld', 3);
    chooser.choose('md', 4);
    expect(names()).toEqual(['hd', 'md']);
    show('md');
    expect(names()).toEqual(['md']);
  });

  it('ends as its last track does', async () => {
    const { chooser, seen, names, running } = stage();
    running.get('hd')?.fail(new UnplayableError('nothing of it can be read'));
    await settled();
    running.get('md')?.fail(MISSING);
    await settled();
    expect(names()).toEqual(['ld']);
    running.get('ld')?.fail(MISSING);
    await expect(chooser.ended).rejects.toBe(MISSING);
    expect(seen.notes).toHaveLength(2);
  });

  it('ends when what plays ends, or is cut', async () => {
    const one = stage();
    one.running.get('hd')?.end();
    await one.chooser.ended;
    const other = stage();
    const cut = new MoqtError('cut', 0, 'the publisher is gone');
    other.running.get('hd')?.fail(cut);
    await expect(other.chooser.ended).rejects.toBe(cut);
  });

  it('reads the only track on if that does not decode, so that its end is noticed', async () => {
    const { chooser, seen, names, running } = stage();
    chooser.undecodable('hd', 'no');
    chooser.undecodable('md', 'no');
    chooser.undecodable('ld', 'no');
    expect(names()).toEqual(['ld']);
    expect(seen.notes).toEqual(['hd: no', 'md: no', 'ld: no']);
    running.get('ld')?.end();
    await chooser.ended;
  });
});
