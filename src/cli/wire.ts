/**
 * Frames on the control socket: `u32 length (little endian), u8 kind, payload`. JSON for requests and answers, raw
 * bytes for what flows. Both ends are the same user's processes, but a frame is checked as if they were not: a length
 * past the limit or an unknown kind ends the connection, never the process.
 */
import { MalformedError } from '../base/errors.ts';

/** Kinds of frame. */
export const FRAME = {
  /** A request or an answer, JSON in UTF-8. */
  json: 1,
  /** Bytes a program wrote to standard output, and error. */
  stdout: 2,
  stderr: 3,
  /** Bytes for a program's standard input; an empty frame is its end. */
  stdin: 4,
  /** A piece of a file that is being sent. */
  data: 5,
} as const;

const HEADER_BYTES = 5;
/** Longest payload, in bytes; longer things are sent in pieces. */
export const FRAME_MAX_BYTES = 4 << 20;

export interface Frame {
  readonly kind: number;
  readonly payload: Uint8Array;
}

/** One frame as bytes. */
export function encodeFrame(kind: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  new DataView(bytes.buffer).setUint32(0, payload.length, true);
  bytes[4] = kind;
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** A JSON frame as bytes. */
export function encodeJson(value: unknown): Uint8Array {
  return encodeFrame(FRAME.json, new TextEncoder().encode(JSON.stringify(value)));
}

/** The value of a JSON frame: always an object. */
export function decodeJson(frame: Frame): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(frame.payload));
  } catch {
    throw new MalformedError('control: a frame is not JSON', -1);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new MalformedError('control: a request is not an object', -1);
  }
  return value as Record<string, unknown>;
}

/** Cuts a stream of bytes into frames, however it arrives. */
export class FrameReader {
  #rest: Uint8Array = new Uint8Array(0);

  /** The frames that are complete with `bytes`. Throws MalformedError; the connection is of no more use then. */
  push(bytes: Uint8Array): Frame[] {
    const all = new Uint8Array(this.#rest.length + bytes.length);
    all.set(this.#rest);
    all.set(bytes, this.#rest.length);
    const frames: Frame[] = [];
    const view = new DataView(all.buffer);
    let at = 0;
    while (at + HEADER_BYTES <= all.length) {
      const length = view.getUint32(at, true);
      const kind = all[at + 4]!;
      if (length > FRAME_MAX_BYTES) throw new MalformedError(`control: a frame of ${length} bytes`, at);
      if (kind < FRAME.json || kind > FRAME.data) throw new MalformedError(`control: frame kind ${kind}`, at);
      const end = at + HEADER_BYTES + length;
      if (end > all.length) break;
      frames.push({ kind, payload: all.slice(at + HEADER_BYTES, end) });
      at = end;
    }
    this.#rest = all.subarray(at);
    return frames;
  }
}
