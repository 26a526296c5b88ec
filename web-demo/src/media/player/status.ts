/// What the player tells the page: a state, words for people, and numbers.

export type PlayerState = 'connecting' | 'waiting' | 'buffering' | 'playing' | 'stopped' | 'failed';

export interface PlayerStatus {
  readonly state: PlayerState;
  /// A sentence, empty while all is well.
  readonly message: string;
}

export interface RenditionEntry {
  readonly name: string;
  readonly label: string;
}

export interface PlayerStats {
  /// Milliseconds behind the newest media that arrived.
  readonly latency: number | undefined;
  /// Milliseconds that could be played if nothing more arrived.
  readonly buffer: number | undefined;
  /// Bits per second of media received.
  readonly bitrate: number;
  /// Frames per second drawn.
  readonly frameRate: number;
  readonly framesDrawn: number;
  readonly framesDropped: number;
  readonly groupsSkipped: number;
  readonly stalls: number;
  readonly jumps: number;
  /// Milliseconds from `play` to the first picture (or sound, without pictures).
  readonly firstFrame: number | undefined;
  readonly rtt: number | undefined;
  /// Media time in milliseconds, of the player's own zero.
  readonly position: number | undefined;
  readonly rate: number;
  /// Picture minus sound in milliseconds: positive, the picture is early.
  readonly avOffset: number | undefined;
  /// Root mean square of the sound played just now, 0 to 1.
  readonly level: number;
  readonly malformed: number;
  readonly video: string;
  readonly audio: string;
  readonly relay: string;
}

export interface PlayerEvents {
  status(status: PlayerStatus): void;
  /// The renditions there are; `current` is the one that plays, `automatic` whether the player chose it.
  renditions(list: readonly RenditionEntry[], current: string | undefined, automatic: boolean): void;
  /// Tracks that cannot be played, in words; empty if all can.
  notes(notes: readonly string[]): void;
  /// The browser holds the sound back until the user does something.
  soundBlocked(blocked: boolean): void;
}
