/// What comes out of a demuxer, whatever the packaging.

/// One coded frame or access unit. Times in microseconds of the broadcast's own clock.
export interface MediaSample {
  readonly decodeTime: number;
  readonly time: number;
  /// 0 when not known.
  readonly duration: number;
  /// Decoding can begin here.
  readonly key: boolean;
  readonly data: Uint8Array;
  /// A new decoder configuration that holds from this sample on.
  readonly description?: Uint8Array;
}

/// The object is not what its track's packaging says. Other objects of the track may be.
export class DemuxError extends Error {
  override readonly name = 'DemuxError';
}
