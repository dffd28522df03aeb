/**
 * Standard input. A regular file is read by position, and the position is state of the program: after a crash the same
 * bytes are read again. What comes from a pipe, terminal or client goes to an inbox in the space first, so that what a
 * checkpoint's program has not read yet is still there after a restart.
 *
 * `openInput(fd)` finds out what a descriptor is. An `InputSource` that flows is asked for more only while there is
 * room in the inbox; bytes it has handed over are the inbox's.
 */
import * as fs from 'node:fs';
import * as net from 'node:net';
import { isatty, ReadStream } from 'node:tty';
import { reopened } from './sink.ts';

/** A regular file given as standard input, from an offset on. */
export interface InputFile {
  readonly kind: 'file';
  readonly device: bigint;
  readonly inode: bigint;
  readonly path: string;
  readonly offset: number;
}

/** Bytes that come when they come. */
export interface InputFlow {
  readonly kind: 'flow';
  readonly terminal: boolean;
  /** Once. `data` gives bytes away; `end` comes last, at the end of the stream or when it breaks. */
  start(data: (bytes: Uint8Array) => void, end: () => void): void;
  pause(): void;
  resume(): void;
  close(): void;
}

export type InputSource = InputFile | InputFlow;

/** The source behind a descriptor of this process. */
export function openInput(fd: number): InputSource {
  const stat = fs.fstatSync(fd, { bigint: true });
  if (stat.isFile()) {
    let path = '';
    let offset = 0;
    try {
      path = fs.readlinkSync(`/proc/self/fd/${fd}`);
      offset = Number(/^pos:\s*(\d+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? 0);
    } catch {
      path = `/dev/fd/${fd}`;
    }
    return { kind: 'file', device: stat.dev, inode: stat.ino, path, offset };
  }
  const terminal = isatty(fd);
  const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = fs.constants;
  const end = reopened(fd, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (terminal) return flow(new ReadStream(end.fd), true, end.own);
  if (stat.isFIFO() || stat.isSocket()) {
    return flow(new net.Socket({ fd: end.fd, readable: true, writable: false }), false, end.own);
  }
  return flow(fs.createReadStream('', { fd: end.fd, autoClose: end.own }), false, end.own);
}

/** Any readable stream of Node as an input. `own`: it is closed with the input. */
export function flow(
  stream: NodeJS.ReadableStream & { destroy(): unknown },
  terminal: boolean,
  own: boolean,
): InputFlow {
  let over: (() => void) | undefined;
  const end = (): void => {
    over?.();
    over = undefined;
  };
  stream.on('error', end);
  return {
    kind: 'flow',
    terminal,
    start: (data, ended) => {
      over = ended;
      stream.on('end', end);
      stream.on('close', end);
      stream.on('data', (bytes) => data(typeof bytes === 'string' ? Buffer.from(bytes) : bytes));
    },
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
    close: () => {
      over = undefined;
      stream.pause();
      if (own) stream.destroy();
    },
  };
}

/** A descriptor on the file an input names, if it is still the same file; -1 otherwise. */
export function openInputFile(
  file: Omit<InputFile, 'kind' | 'offset'>,
  fds: readonly number[] = [0],
): number {
  for (const path of [file.path, ...fds.map((fd) => `/proc/self/fd/${fd}`)]) {
    let fd = -1;
    try {
      fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK | fs.constants.O_NOCTTY);
      const stat = fs.fstatSync(fd, { bigint: true });
      if (stat.isFile() && stat.ino === file.inode) return fd;
    } catch {
      // Not there or not readable: the next way, or none.
    }
    if (fd >= 0) fs.closeSync(fd);
  }
  return -1;
}
