/**
 * The least of wasi_snapshot_preview1 that a bench program wants, over any memory: the same functions serve a program
 * with a memory of its own and a rewritten one that lies somewhere in the space, so what they cost cancels out of a
 * ratio. Files are a flat map in memory under one preopened folder; output is kept, not printed; sleeping returns at
 * once; random numbers are always the same. Not a personality: it confines nothing.
 *
 *   const wasi = new BenchWasi(['prog', '10'])
 *   instantiate(module, wasi.imports(module)); wasi.attach(() => memory.buffer, base); wasi.run(start)
 */

/** How a program ends itself. */
class Exit extends Error {
  readonly code: number;
  constructor(code: number) {
    super(`exit ${code}`);
    this.code = code;
  }
}

const BADF = 8;
const INVAL = 28;
const NOENT = 44;
const NOSYS = 52;
const REGULAR = 4;
const DIRECTORY = 3;
const PREOPENED = 3;

interface Open {
  /** It stays, also where its name goes. */
  readonly file: File;
  at: number;
  readonly append: boolean;
}
interface File {
  bytes: Uint8Array;
  size: number;
}
type Call = (...args: number[]) => number;

export class BenchWasi {
  /** What went to standard output and error. */
  output = '';
  readonly files = new Map<string, File>();
  readonly #args: Uint8Array[];
  readonly #open = new Map<number, Open>();
  #buffer: () => ArrayBuffer | SharedArrayBuffer = () => new ArrayBuffer(0);
  #base = 0;
  #bytes: Uint8Array<ArrayBuffer | SharedArrayBuffer> = new Uint8Array(0);
  #view: DataView<ArrayBuffer | SharedArrayBuffer> = new DataView(new ArrayBuffer(0));
  #random = 1;

  constructor(args: readonly string[]) {
    this.#args = args.map((a) => new TextEncoder().encode(`${a}\0`));
  }

  /** Says where the program's memory is: its address 0 lies `base` bytes into the buffer. */
  attach(buffer: () => ArrayBuffer | SharedArrayBuffer, base = 0): void {
    this.#buffer = buffer;
    this.#base = base;
  }

  /** Runs to the end; the exit code. */
  run(start: () => void): number {
    try {
      start();
      return 0;
    } catch (error) {
      if (error instanceof Exit) return error.code;
      throw error;
    }
  }

  /** Name, size and hash of each file, to compare runs by. */
  fileSummary(): string {
    let text = '';
    for (const [name, file] of this.files) {
      let hash = 2166136261;
      for (const byte of file.bytes.subarray(0, file.size)) hash = Math.imul(hash ^ byte, 16777619);
      text += `[${name} ${file.size} ${(hash >>> 0).toString(16)}]`;
    }
    return text;
  }

  /** An import object for a module; functions of WASI that are not here give ENOSYS, other imports are refused. */
  imports(module: WebAssembly.Module): Record<string, Record<string, Call>> {
    const calls = this.#calls();
    const wasi: Record<string, Call> = {};
    for (const item of WebAssembly.Module.imports(module)) {
      if (item.module === 'perdure' || item.module === 'bench') continue;
      if (item.kind !== 'function' || !/^wasi_(snapshot_preview1|unstable)$/.test(item.module))
        throw new Error(`a bench program may import from WASI only, not ${item.module}.${item.name}`);
      wasi[item.name] = calls[item.name] ?? (() => NOSYS);
    }
    return { wasi_snapshot_preview1: wasi, wasi_unstable: wasi };
  }

  #at(address: number): number {
    const buffer = this.#buffer();
    if (this.#bytes.buffer !== buffer) {
      this.#bytes = new Uint8Array(buffer);
      this.#view = new DataView(buffer);
    }
    return this.#base + (address >>> 0);
  }
  #set32(address: number, value: number): void {
    const at = this.#at(address);
    this.#view.setUint32(at, value, true);
  }
  #set64(address: number, value: bigint): void {
    const at = this.#at(address);
    this.#view.setBigUint64(at, value, true);
  }
  #get32(address: number): number {
    const at = this.#at(address);
    return this.#view.getUint32(at, true);
  }
  /** A copy: shared memory cannot be decoded in place. */
  #read(address: number, length: number): Uint8Array<ArrayBuffer> {
    const at = this.#at(address);
    return this.#bytes.slice(at, at + (length >>> 0)) as Uint8Array<ArrayBuffer>;
  }
  #write(address: number, bytes: Uint8Array): void {
    const at = this.#at(address);
    this.#bytes.set(bytes, at);
  }
  #path(address: number, length: number): string {
    const parts: string[] = [];
    for (const part of new TextDecoder().decode(this.#read(address, length)).split('/')) {
      if (part === '..') parts.pop();
      else if (part !== '' && part !== '.') parts.push(part);
    }
    return parts.join('/');
  }

  #strings(pointers: number, buffer: number, list: readonly Uint8Array[]): number {
    for (const [i, bytes] of list.entries()) {
      this.#set32(pointers + 4 * i, buffer);
      this.#write(buffer, bytes);
      buffer += bytes.length;
    }
    return 0;
  }
  #sizes(count: number, bytes: number, list: readonly Uint8Array[]): number {
    this.#set32(count, list.length);
    this.#set32(
      bytes,
      list.reduce((n, b) => n + b.length, 0),
    );
    return 0;
  }

  #put(fd: number, bytes: Uint8Array, where?: number): void {
    if (fd === 1 || fd === 2) {
      this.output += new TextDecoder().decode(bytes);
      return;
    }
    const open = this.#open.get(fd)!;
    const { file } = open;
    const at = where ?? (open.append ? file.size : open.at);
    const end = at + bytes.length;
    if (end > file.bytes.length) {
      const larger = new Uint8Array(Math.max(end, file.bytes.length * 2, 4096));
      larger.set(file.bytes);
      file.bytes = larger;
    }
    file.bytes.set(bytes, at);
    file.size = Math.max(file.size, end);
    if (where === undefined) open.at = end;
  }

  #writev(fd: number, vectors: number, count: number, done: number, where?: number): number {
    if (fd !== 1 && fd !== 2 && !this.#open.has(fd)) return BADF;
    let total = 0;
    for (let i = 0; i < count; i++) {
      const bytes = this.#read(this.#get32(vectors + 8 * i), this.#get32(vectors + 8 * i + 4));
      this.#put(fd, bytes, where === undefined ? undefined : where + total);
      total += bytes.length;
    }
    this.#set32(done, total);
    return 0;
  }

  #readv(fd: number, vectors: number, count: number, done: number, where?: number): number {
    const open = this.#open.get(fd);
    if (fd !== 0 && !open) return BADF;
    let total = 0;
    const file = open?.file;
    for (let i = 0; open && file && i < count; i++) {
      const from = where === undefined ? open.at : where + total;
      const length = Math.max(0, Math.min(this.#get32(vectors + 8 * i + 4), file.size - from));
      this.#write(this.#get32(vectors + 8 * i), file.bytes.subarray(from, from + length));
      if (where === undefined) open.at += length;
      total += length;
    }
    this.#set32(done, total);
    return 0;
  }

  #stat(address: number, type: number, size: number): number {
    this.#write(address, new Uint8Array(64));
    this.#write(address + 16, Uint8Array.of(type));
    this.#set64(address + 24, 1n);
    this.#set64(address + 32, BigInt(size));
    return 0;
  }

  #openAt(path: string, create: number, flags: number, result: number): number {
    let file = this.files.get(path);
    if (!file && (create & 1) === 0) return path === '' ? this.#openFolder(result) : NOENT;
    file ??= { bytes: new Uint8Array(0), size: 0 };
    if (create & 8) Object.assign(file, { bytes: new Uint8Array(0), size: 0 });
    this.files.set(path, file);
    let fd = PREOPENED + 1;
    while (this.#open.has(fd)) fd++;
    this.#open.set(fd, { file, at: 0, append: (flags & 1) !== 0 });
    this.#set32(result, fd);
    return 0;
  }
  #openFolder(result: number): number {
    this.#set32(result, PREOPENED);
    return 0;
  }

  #fdstat(fd: number, address: number): number {
    if (fd > PREOPENED && !this.#open.has(fd)) return BADF;
    this.#write(address, new Uint8Array(24));
    this.#write(address, Uint8Array.of(fd < PREOPENED ? 2 : fd === PREOPENED ? DIRECTORY : REGULAR));
    this.#set64(address + 8, 0x1fffffffn);
    this.#set64(address + 16, 0x1fffffffn);
    return 0;
  }

  #seek(fd: number, offset: number, whence: number, result: number): number {
    const open = this.#open.get(fd);
    if (!open) return fd <= 2 ? 70 : BADF;
    const { size } = open.file;
    const to = Number(offset) + (whence === 0 ? 0 : whence === 1 ? open.at : size);
    if (to < 0) return INVAL;
    open.at = to;
    this.#set64(result, BigInt(to));
    return 0;
  }

  #resize(fd: number, size: number): number {
    const file = this.#open.get(fd)?.file;
    if (!file) return BADF;
    if (size > file.bytes.length) {
      const larger = new Uint8Array(size);
      larger.set(file.bytes.subarray(0, file.size));
      file.bytes = larger;
    }
    file.bytes.fill(0, Math.min(size, file.size), file.size);
    file.size = size;
    return 0;
  }

  #rename(from: string, to: string): number {
    const file = this.files.get(from);
    if (!file) return NOENT;
    this.files.delete(from);
    this.files.set(to, file);
    return 0;
  }

  #calls(): Record<string, Call> {
    return {
      args_sizes_get: (c, b) => this.#sizes(c!, b!, this.#args),
      args_get: (p, b) => this.#strings(p!, b!, this.#args),
      environ_sizes_get: (c, b) => this.#sizes(c!, b!, []),
      environ_get: () => 0,
      clock_res_get: (_id, at) => {
        this.#set64(at!, 1000n);
        return 0;
      },
      clock_time_get: (id, _precision, at) => {
        const ms = performance.now() + (id === 0 ? performance.timeOrigin : 0);
        this.#set64(at!, BigInt(Math.round(ms * 1e6)));
        return 0;
      },
      random_get: (at, n) => {
        const bytes = new Uint8Array(n! >>> 0);
        for (let i = 0; i < bytes.length; i++) {
          this.#random = (Math.imul(this.#random, 1664525) + 1013904223) | 0;
          bytes[i] = this.#random >>> 24;
        }
        this.#write(at!, bytes);
        return 0;
      },
      sched_yield: () => 0,
      poll_oneoff: (_in, out, count, done) => {
        this.#write(out!, new Uint8Array(32 * count!));
        this.#set32(done!, count!);
        return 0;
      },
      proc_exit: (code) => {
        throw new Exit(code!);
      },
      ...this.#descriptorCalls(),
      ...this.#pathCalls(),
    };
  }

  #descriptorCalls(): Record<string, Call> {
    const file = (fd: number): File | undefined => this.#open.get(fd)?.file;
    return {
      fd_write: (fd, v, n, done) => this.#writev(fd!, v!, n!, done!),
      fd_pwrite: (fd, v, n, at, done) => this.#writev(fd!, v!, n!, done!, Number(at)),
      fd_read: (fd, v, n, done) => this.#readv(fd!, v!, n!, done!),
      fd_pread: (fd, v, n, at, done) => this.#readv(fd!, v!, n!, done!, Number(at)),
      fd_close: (fd) => (this.#open.delete(fd!) || fd! <= PREOPENED ? 0 : BADF),
      fd_seek: (fd, offset, whence, at) => this.#seek(fd!, offset!, whence!, at!),
      fd_tell: (fd, at) => this.#seek(fd!, 0, 1, at!),
      fd_sync: () => 0,
      fd_datasync: () => 0,
      fd_advise: () => 0,
      fd_fdstat_get: (fd, at) => this.#fdstat(fd!, at!),
      fd_fdstat_set_flags: () => 0,
      fd_filestat_get: (fd, at) =>
        fd! <= PREOPENED
          ? this.#stat(at!, fd === PREOPENED ? DIRECTORY : 2, 0)
          : file(fd!)
            ? this.#stat(at!, REGULAR, file(fd!)!.size)
            : BADF,
      fd_filestat_set_size: (fd, size) => this.#resize(fd!, Number(size)),
      fd_filestat_set_times: () => 0,
      fd_prestat_get: (fd, at) => {
        if (fd !== PREOPENED) return BADF;
        this.#set32(at!, 0);
        this.#set32(at! + 4, 1);
        return 0;
      },
      fd_prestat_dir_name: (fd, at, n) => {
        if (fd !== PREOPENED || n! < 1) return BADF;
        this.#write(at!, Uint8Array.of(0x2f));
        return 0;
      },
    };
  }

  #pathCalls(): Record<string, Call> {
    return {
      path_open: (_fd, _look, path, n, create, _rights, _inherit, flags, result) =>
        this.#openAt(this.#path(path!, n!), create!, flags!, result!),
      path_filestat_get: (_fd, _look, path, n, at) => {
        const name = this.#path(path!, n!);
        const found = this.files.get(name);
        if (found) return this.#stat(at!, REGULAR, found.size);
        return name === '' ? this.#stat(at!, DIRECTORY, 0) : NOENT;
      },
      path_unlink_file: (_fd, path, n) => (this.files.delete(this.#path(path!, n!)) ? 0 : NOENT),
      path_rename: (_fd, path, n, _to, other, m) =>
        this.#rename(this.#path(path!, n!), this.#path(other!, m!)),
    };
  }
}
