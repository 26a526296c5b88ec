/// What to encode: which codec, in which sizes, at which bitrates. Decided by asking the browser.

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Rendition extends Size {
  /** Bits per second. */
  readonly bitrate: number;
  readonly framerate: number;
}

export type CodecFamily = 'h264' | 'vp9' | 'av1' | 'vp8';

/** Best first: what most players decode, and what costs an ordinary machine least. */
export const FAMILIES: readonly CodecFamily[] = ['h264', 'vp9', 'av1', 'vp8'];

export const FAMILY_NAMES: Record<CodecFamily, string> = { h264: 'H.264', vp9: 'VP9', av1: 'AV1', vp8: 'VP8' };

/** Pixels per second up to which a level of each family reaches: H.264 annex A, VP9 and AV1 level tables, by frame size. */
const LEVELS: readonly {
  readonly pixels: number;
  readonly h264: string;
  readonly vp9: string;
  readonly av1: string;
}[] = [
  { pixels: 1280 * 720 * 30, h264: '1f', vp9: '31', av1: '05' },
  { pixels: 1920 * 1080 * 30, h264: '28', vp9: '40', av1: '08' },
  { pixels: 1920 * 1080 * 60, h264: '2a', vp9: '41', av1: '09' },
  { pixels: 3840 * 2160 * 30, h264: '33', vp9: '50', av1: '12' },
];

/** The codec string for pictures of this size: constrained baseline for H.264, main profiles of 8 bits for the others. */
export function codecString(family: CodecFamily, { width, height, framerate }: Rendition): string {
  const pixels = width * height * framerate;
  const level = LEVELS.find((level) => pixels <= level.pixels) ?? LEVELS[LEVELS.length - 1];
  switch (family) {
    case 'h264':
      return `avc1.42e0${level?.h264}`;
    case 'vp9':
      return `vp09.00.${level?.vp9}.08`;
    case 'av1':
      return `av01.0.${level?.av1}M.08`;
    case 'vp8':
      return 'vp8';
  }
}

/** `source` made to fit `height` lines, never enlarged, even in both directions as codecs want it. */
export function fitted(source: Size, height: number): Size {
  const scale = Math.min(1, height / source.height);
  const even = (value: number) => Math.max(2, Math.floor((value * scale) / 2 + 1e-6) * 2);
  return { width: even(source.width), height: even(source.height) };
}

/** The renditions of a source, best first: one at most `height` lines high, and one of half its size if `simulcast`. */
export function ladder(source: Size, height: number, framerate: number, simulcast: boolean): Rendition[] {
  const best = fitted(source, height);
  const renditions = [{ ...best, framerate, bitrate: nominal(best, framerate) }];
  if (simulcast && best.height >= 240) {
    const small = fitted(source, best.height / 2);
    renditions.push({ ...small, framerate, bitrate: nominal(small, framerate) });
  }
  return renditions;
}

/** Bits per second for good pictures: fewer per pixel as they grow. 360p: 0.7, 720p: 2.0, 1080p: 3.6 Mbit/s at 30 frames. */
function nominal({ width, height }: Size, framerate: number): number {
  const bits = 700_000 * ((width * height) / (640 * 360)) ** 0.75 * (framerate / 30) ** 0.5;
  return Math.round(bits / 10_000) * 10_000;
}

/** What the encoder is asked for. */
export function encoderConfig(family: CodecFamily, rendition: Rendition, temporalLayers: boolean): VideoEncoderConfig {
  return {
    codec: codecString(family, rendition),
    width: rendition.width,
    height: rendition.height,
    bitrate: rendition.bitrate,
    framerate: rendition.framerate,
    latencyMode: 'realtime',
    ...(family === 'h264' ? { avc: { format: 'avc' } } : {}),
    ...(temporalLayers ? { scalabilityMode: 'L1T2' } : {}),
  };
}

/** Whether this browser encodes that. */
export async function encodes(config: VideoEncoderConfig): Promise<boolean> {
  if (typeof VideoEncoder === 'undefined') return false;
  const { supported } = await VideoEncoder.isConfigSupported(config).catch(() => ({ supported: false }));
  return supported === true;
}

/** The families this browser encodes, best first. */
export async function families(): Promise<CodecFamily[]> {
  const probe: Rendition = { width: 640, height: 360, bitrate: 700_000, framerate: 30 };
  const found = await Promise.all(FAMILIES.map((family) => encodes(encoderConfig(family, probe, false))));
  return FAMILIES.filter((_, index) => found[index]);
}
