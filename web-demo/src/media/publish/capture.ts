/// Cameras, microphones and screens: asking for them, and what to say when there is no such thing.

/** What the user wants to show. */
export type Choice = 'camera' | 'screen' | 'none' | 'pattern';

/** A device we did not get. The message is for the user. */
export class CaptureError extends Error {
  override readonly name = 'CaptureError';
}

/** Asks for what was chosen; the browser asks the user. */
export async function capture(choice: Choice, microphone: boolean, height: number): Promise<MediaStream> {
  if (!navigator.mediaDevices) {
    throw new CaptureError('Cameras and screens can only be shown from a page over https or from localhost.');
  }
  if (!('MediaStreamTrackProcessor' in globalThis)) {
    throw new CaptureError(
      'This browser does not hand out single frames of a camera. Use Chrome or Edge, or show the test pattern.',
    );
  }
  const video = {
    height: { ideal: height },
    width: { ideal: Math.round((height * 16) / 9) },
    frameRate: { ideal: 30 },
  };
  try {
    if (choice === 'screen') {
      const screen = await navigator.mediaDevices.getDisplayMedia({ video, audio: true });
      if (microphone && screen.getAudioTracks().length === 0) await addMicrophone(screen);
      return screen;
    }
    return await navigator.mediaDevices.getUserMedia({ audio: microphone, video: choice === 'camera' && video });
  } catch (error) {
    throw new CaptureError(captureWords(error, choice), { cause: error });
  }
}

/** A screen without sound of its own gets the microphone's. */
async function addMicrophone(screen: MediaStream): Promise<void> {
  try {
    const sound = await navigator.mediaDevices.getUserMedia({ audio: true });
    for (const track of sound.getAudioTracks()) screen.addTrack(track);
  } catch (error) {
    for (const track of screen.getTracks()) track.stop();
    throw error;
  }
}

/** What a refusal of the browser means, by the names of Media Capture and Streams. */
export function captureWords(error: unknown, choice: Choice): string {
  const device = choice === 'camera' ? 'camera' : choice === 'screen' ? 'screen' : 'microphone';
  switch (error instanceof Error ? error.name : '') {
    case 'NotAllowedError':
    case 'SecurityError':
      return choice === 'screen'
        ? 'No screen was chosen, or this page may not record it.'
        : `This page may not use the ${device}. Allow it beside the page's address and try again.`;
    case 'NotFoundError':
    case 'OverconstrainedError':
      return choice === 'camera' ? 'No camera, or no microphone, was found.' : `No ${device} was found.`;
    case 'NotReadableError':
    case 'AbortError':
      return `The ${device} cannot be read. Another program may be using it.`;
    default:
      return `The ${device} cannot be used: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** The frames of a track, to be handed to a worker. */
export function frames<T extends VideoFrame | AudioData>(track: MediaStreamTrack): ReadableStream<T> {
  const processor = new MediaStreamTrackProcessor({ track });
  return processor.readable as ReadableStream<T>;
}

declare class MediaStreamTrackProcessor {
  constructor(init: { track: MediaStreamTrack });
  readonly readable: ReadableStream<unknown>;
}
