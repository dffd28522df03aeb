/**
 * Where bytes leave the process: the ends of its standard output and error, or of an attached client. A sink takes
 * bytes in order; the releaser (release.ts) decides when. `openSink(fd)` finds out what a descriptor is:
 *
 * - a regular file: written at once, and asked later where it stands, which is what makes a restart exact;
 * - a pipe or socket: never blocks the thread, however slow its reader;
 * - a terminal or other device: written from a thread of libuv's pool.
 *
 * A pipe or terminal is opened anew through /proc where possible: the non-blocking mode of a descriptor belongs to
 * the open file description, which the shell and others share.
 */
import * as fs from 'node:fs';
import * as net from 'node:net';
import { isatty } from 'node:tty';
import { ERRNO } from '../abi/errno.ts';
import { errnoOf } from './errno.ts';

/** Which regular file, and where in it the next byte will go. */
export interface FilePlace {
  readonly device: bigint;
  readonly inode: bigint;
  readonly path: string;
  readonly offset: number;
}

export interface Sink {
  readonly terminal: boolean;
  /** For a regular file: its identity and the place of the next byte. */
  readonly place?: () => FilePlace;
  /** Bytes taken (at least 1), or -errno. One write at a time. A file answers at once. */
  write(bytes: Uint8Array): number | Promise<number>;
  /** What was taken survives a power failure when this resolves. Only where that means something. */
  readonly sync?: () => Promise<void>;
  close(): void;
}

/** The sink behind a descriptor of this process. */
export function openSink(fd: number): Sink {
  const stat = fs.fstatSync(fd);
  if (stat.isFile()) return fileSink(fd);
  if (stat.isFIFO() || stat.isSocket())
    return streamSink(reopened(fd, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK));
  return deviceSink(reopened(fd, fs.constants.O_WRONLY | fs.constants.O_NOCTTY), isatty(fd));
}

/** The sinks of standard output and error: one and the same object where both are the same file. */
export function openSinkPair(outFd: number, errFd: number): { stdout: Sink; stderr: Sink } {
  const stdout = openSink(outFd);
  if (stdout.place !== undefined) {
    const out = fs.fstatSync(outFd, { bigint: true });
    const err = fs.fstatSync(errFd, { bigint: true });
    if (out.dev === err.dev && out.ino === err.ino) return { stdout, stderr: stdout };
  }
  return { stdout, stderr: openSink(errFd) };
}

/** Another open file description of the same pipe or terminal; the descriptor itself where the host refuses. */
export function reopened(fd: number, flags: number): { fd: number; own: boolean } {
  try {
    return { fd: fs.openSync(`/proc/self/fd/${fd}`, flags), own: true };
  } catch {
    return { fd, own: false };
  }
}

function fileSink(fd: number): Sink {
  return {
    terminal: false,
    place: () => placeOf(fd),
    write: (bytes) => {
      try {
        return fs.writeSync(fd, bytes);
      } catch (error) {
        return -errnoOf(error);
      }
    },
    sync: () => new Promise((resolve) => fs.fdatasync(fd, () => resolve())),
    close: () => {},
  };
}

/** A file opened for appending writes at its end, any other at the descriptor's offset, which /proc tells. */
function placeOf(fd: number): FilePlace {
  const stat = fs.fstatSync(fd, { bigint: true });
  let offset = Number(stat.size);
  let path = '';
  try {
    const info = fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1');
    const position = /^pos:\s*(\d+)/m.exec(info)?.[1];
    const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(info)?.[1] ?? '0', 8);
    if (position !== undefined && (flags & fs.constants.O_APPEND) === 0) offset = Number(position);
    path = fs.readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // Without /proc the end of the file is the best guess, and the file cannot be found again by name.
  }
  return { device: stat.dev, inode: stat.ino, path, offset };
}

/**
 * The size of the file a place names and up to `length` of its bytes from there, if it is still the same file: found
 * by its path or by a descriptor that is open on it.
 */
export function readPlace(
  place: FilePlace,
  length: number,
  fds: readonly number[] = [],
): { size: number; bytes: Uint8Array } | undefined {
  for (const path of [place.path, ...fds.map((fd) => `/proc/self/fd/${fd}`)]) {
    if (path === '') continue;
    let fd = -1;
    try {
      fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK | fs.constants.O_NOCTTY);
      const stat = fs.fstatSync(fd, { bigint: true });
      // Device numbers may change when the host starts again; the bytes are compared anyway.
      if (!stat.isFile() || stat.ino !== place.inode) continue;
      const size = Number(stat.size);
      const bytes = new Uint8Array(Math.max(0, Math.min(length, size - place.offset)));
      const count = bytes.length === 0 ? 0 : fs.readSync(fd, bytes, 0, bytes.length, place.offset);
      return { size, bytes: bytes.subarray(0, count) };
    } catch {
      // Not there or not readable: the next way, or none.
    } finally {
      if (fd >= 0) fs.closeSync(fd);
    }
  }
  return undefined;
}

function streamSink(end: { fd: number; own: boolean }): Sink {
  const socket = new net.Socket({ fd: end.fd, readable: false, writable: true });
  let broken = 0;
  let failWrite: ((result: number) => void) | undefined;
  socket.on('error', (error) => {
    broken = errnoOf(error);
    failWrite?.(-broken);
  });
  socket.on('close', () => {
    if (broken === 0) broken = ERRNO.PIPE;
    failWrite?.(-broken);
  });
  return {
    terminal: false,
    write: (bytes) => {
      if (broken !== 0) return -broken;
      return new Promise<number>((resolve) => {
        failWrite = resolve;
        socket.write(bytes, (error) => {
          failWrite = undefined;
          resolve(error ? -errnoOf(error) : bytes.length);
        });
      });
    },
    close: () => {
      if (end.own) socket.destroy();
    },
  };
}

function deviceSink(end: { fd: number; own: boolean }, terminal: boolean): Sink {
  return {
    terminal,
    write: (bytes) =>
      new Promise((resolve) => {
        fs.write(end.fd, bytes, (error, written) => {
          if (!error) resolve(written);
          else if (error.code === 'EAGAIN') setTimeout(() => resolve(0), 5);
          else resolve(-errnoOf(error));
        });
      }),
    close: () => {
      if (end.own) fs.close(end.fd, () => {});
    },
  };
}
