import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Prng, seedFrom } from '../../base/prng.ts';
import { FDFLAGS, OFLAGS } from './abi.ts';
import { Guest } from './guest.testing.ts';

interface ModelFile {
  bytes: number[];
}
interface ModelDescriptor {
  file: ModelFile;
  offset: number;
  append: boolean;
}

/** Files and descriptors of one directory, as simply as they can be said. */
class Model {
  names = new Map<string, ModelFile>();
  open = new Map<number, ModelDescriptor>();

  lowest(): number {
    let fd = 4;
    while (this.open.has(fd)) fd++;
    return fd;
  }
  write(file: ModelFile, offset: number, data: Uint8Array): void {
    if (data.length === 0) return;
    while (file.bytes.length < offset) file.bytes.push(0);
    for (let i = 0; i < data.length; i++) file.bytes[offset + i] = data[i] as number;
  }
  read(file: ModelFile, offset: number, length: number): number[] {
    return file.bytes.slice(offset, offset + length);
  }
}

const NAMES = ['a', 'b', 'c'];

interface Turn {
  random: Prng;
  g: Guest;
  model: Model;
  /** A descriptor, open or (rarely) not, and what the model has of it. */
  fd: number;
  descriptor: ModelDescriptor | undefined;
  name: string;
  length: number;
  offset: number;
  /** Room for a result. */
  out: number;
}

/** One random call on both; what it gives must be alike. */
function step(random: Prng, g: Guest, model: Model): void {
  const fds = [...model.open.keys()];
  const fd = fds.length > 0 && random.chance(0.97) ? random.pick(fds) : 77;
  random.pick([open, close, write, write, pwrite, read, read, seek, resize, renumber, rename, unlink])({
    ...{ random, g, model, fd, descriptor: model.open.get(fd), name: random.pick(NAMES), out: g.room(8) },
    length: random.below(random.chance(0.1) ? 9000 : 50),
    offset: random.below(random.chance(0.1) ? 70_000 : 120),
  });
}

function expectBad({ g, fd }: Turn, call: string, ...args: (number | bigint)[]): void {
  assert.equal(g.errno(call, fd, ...args), 'BADF', call);
}
const data = ({ random, length }: Turn): Uint8Array => Uint8Array.from({ length }, () => random.below(256));

function open({ random, g, model, name }: Turn): void {
  const [create, truncate, exclusive, append] = [0.7, 0.1, 0.2, 0.2].map((p) => random.chance(p));
  const there = model.names.get(name);
  const oflags = (create ? OFLAGS.CREAT : 0) | (truncate ? OFLAGS.TRUNC : 0) | (exclusive ? OFLAGS.EXCL : 0);
  const result = g.tryOpen(name, { oflags, fdflags: append ? FDFLAGS.APPEND : 0 });
  if (there === undefined && !create) return assert.equal(result, 'NOENT');
  if (there !== undefined && create && exclusive) return assert.equal(result, 'EXIST');
  const file = there ?? { bytes: [] };
  if (truncate) file.bytes = [];
  model.names.set(name, file);
  assert.equal(result, model.lowest());
  model.open.set(result as number, { file, offset: 0, append: append === true });
}

function close(turn: Turn): void {
  const { g, model, fd, descriptor } = turn;
  if (descriptor === undefined) return expectBad(turn, 'fd_close');
  if (model.open.size < 5) return;
  g.ok('fd_close', fd);
  model.open.delete(fd);
}

function write(turn: Turn): void {
  const { random, g, model, fd, descriptor, length, out } = turn;
  const bytes = data(turn);
  const cut = random.below(length + 1);
  const vectors = g.vectors(g.put(bytes.subarray(0, cut)), g.put(bytes.subarray(cut)));
  if (descriptor === undefined) return expectBad(turn, 'fd_write', ...vectors, out);
  g.ok('fd_write', fd, ...vectors, out);
  assert.equal(g.u32(out), length);
  if (descriptor.append) descriptor.offset = descriptor.file.bytes.length;
  model.write(descriptor.file, descriptor.offset, bytes);
  descriptor.offset += length;
}

function pwrite(turn: Turn): void {
  const { g, model, fd, descriptor, offset, out } = turn;
  const bytes = data(turn);
  const vectors = g.vectors(g.put(bytes));
  if (descriptor === undefined) return expectBad(turn, 'fd_pwrite', ...vectors, BigInt(offset), out);
  g.ok('fd_pwrite', fd, ...vectors, BigInt(offset), out);
  model.write(descriptor.file, offset, bytes);
}

function read(turn: Turn): void {
  const { random, g, model, fd, descriptor, length, offset, out } = turn;
  const there = random.chance(0.5);
  const [buffer, cut] = [g.room(length), random.below(length + 1)];
  const vectors = g.vectors([buffer, cut], [buffer + cut, length - cut]);
  if (descriptor === undefined) return expectBad(turn, 'fd_read', ...vectors, out);
  if (there) g.ok('fd_pread', fd, ...vectors, BigInt(offset), out);
  else g.ok('fd_read', fd, ...vectors, out);
  const expected = model.read(descriptor.file, there ? offset : descriptor.offset, length);
  assert.deepEqual(Array.from(g.bytesAt(buffer, g.u32(out))), expected);
  if (!there) descriptor.offset += expected.length;
}

function seek(turn: Turn): void {
  const { random, g, fd, descriptor, out } = turn;
  const [whence, by] = [random.below(3), random.below(200) - 100];
  if (descriptor === undefined) return expectBad(turn, 'fd_seek', BigInt(by), whence, out);
  const base = [0, descriptor.offset, descriptor.file.bytes.length][whence] as number;
  const result = g.errno('fd_seek', fd, BigInt(by), whence, out);
  if (base + by < 0) return assert.equal(result, 'INVAL');
  assert.equal(g.u64(out), BigInt(base + by));
  descriptor.offset = base + by;
}

function resize(turn: Turn): void {
  const { g, fd, descriptor, offset } = turn;
  if (descriptor === undefined) return expectBad(turn, 'fd_filestat_set_size', BigInt(offset));
  g.ok('fd_filestat_set_size', fd, BigInt(offset));
  const { bytes } = descriptor.file;
  bytes.length = Math.min(bytes.length, offset);
  while (bytes.length < offset) bytes.push(0);
}

function renumber(turn: Turn): void {
  const { random, g, model, fd, descriptor } = turn;
  const to = random.pick([...model.open.keys(), 78]);
  if (descriptor === undefined || !model.open.has(to)) return expectBad(turn, 'fd_renumber', to);
  g.ok('fd_renumber', fd, to);
  model.open.delete(fd);
  model.open.set(to, descriptor);
}

function rename({ random, g, model, name }: Turn): void {
  const other = random.pick(NAMES);
  const file = model.names.get(name);
  const result = g.errno('path_rename', 3, ...g.put(name), 3, ...g.put(other));
  if (file === undefined) return assert.equal(result, 'NOENT');
  assert.equal(result, 'SUCCESS');
  model.names.delete(name);
  model.names.set(other, file);
}

function unlink({ g, model, name }: Turn): void {
  const result = g.errno('path_unlink_file', 3, ...g.put(name));
  assert.equal(result, model.names.delete(name) ? 'SUCCESS' : 'NOENT');
}

it('files and descriptors do what a simple model does, through crashes', () => {
  const random = new Prng(seedFrom(process.env.PERDURE_SEED, Date.now()));
  console.log(`seed ${random.seed}`);
  for (let round = 0; round < 3; round++) {
    const g = new Guest();
    const model = new Model();
    for (let i = 0; i < 1200; i++) {
      step(random, g, model);
      if (random.chance(0.005)) g.recover();
    }
    for (const [fd, { file, offset }] of model.open) {
      assert.equal(g.size(fd), file.bytes.length);
      const out = g.room(8);
      g.ok('fd_tell', fd, out);
      assert.equal(g.u64(out), BigInt(offset));
    }
    const alive = new Set([...model.names.values(), ...[...model.open.values()].map((d) => d.file)]);
    assert.equal(g.wasi.tree.nodes, alive.size + 3, 'root, home, the folder, and the files there are');
    g.checkCanaries();
  }
});
