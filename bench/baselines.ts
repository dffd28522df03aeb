/**
 * What somebody uses on Node today where Perdure has gates, windows and rings: the baselines of their benches, measured
 * in the same run. A plain call between two wasm instances; a worker that gets messages by copy or by transfer; two threads
 * that wake one another by Atomics on shared memory; a child process at two pipes.
 *
 *     const { ns } = await crossInstance();
 *     await using other = await worker();
 *     const times = await other.handOver(1 << 20, 'transfer', 200);   // ms each, until the other side has looked at it
 *
 * Whoever gets bytes adds up one byte of each page, so that they have arrived and not just been announced.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { wat } from '../src/wasm/wat.testing.ts';

const CHILD = fileURLToPath(new URL('./baselines-child.ts', import.meta.url));
const CALLS = 20_000_000;

/** Nanoseconds of a call (i32, i32) -> i32 from one wasm instance to another, the loop around it taken off. */
export async function crossInstance(runs = 7): Promise<{ ns: number[] }> {
  const callee = new WebAssembly.Instance(
    new WebAssembly.Module(
      await wat(
        `(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))`,
      ),
    ),
  );
  const loop = (body: string): Promise<Uint8Array<ArrayBuffer>> =>
    wat(`(module (import "m" "add" (func $add (param i32 i32) (result i32)))
      (func (export "run") (param $n i32) (result i32) (local $sum i32)
        (loop $again
          (local.set $sum ${body})
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))`);
  const [calling, empty] = await Promise.all(
    ['(call $add (local.get $sum) (local.get $n))', '(i32.xor (local.get $sum) (local.get $n))'].map(
      async (body) => {
        const module = new WebAssembly.Module(await loop(body));
        const instance = new WebAssembly.Instance(module, { m: { add: callee.exports.add as never } });
        return instance.exports.run as (n: number) => number;
      },
    ),
  );
  const timed = (run: (n: number) => number): number => {
    const before = performance.now();
    run(CALLS);
    return ((performance.now() - before) * 1e6) / CALLS;
  };
  timed(calling!);
  timed(empty!);
  return { ns: Array.from({ length: runs }, () => timed(calling!) - timed(empty!)) };
}

/** Times of single turns, in milliseconds. */
export async function turns(count: number, turn: () => Promise<void>, warm = 20): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < warm + count; i++) {
    const before = performance.now();
    await turn();
    if (i >= warm) times.push(performance.now() - before);
  }
  return times;
}

/** A worker to talk with by messages, or by Atomics. */
export async function worker(): Promise<WorkerBaseline> {
  const thread = new Worker(CHILD, { argv: ['worker'] });
  await once(thread, 'message');
  return new WorkerBaseline(thread);
}

export class WorkerBaseline implements AsyncDisposable {
  readonly #thread: Worker;
  constructor(thread: Worker) {
    this.#thread = thread;
  }

  /** Milliseconds until the worker has got `bytes` and said so. */
  async handOver(bytes: number, how: 'copy' | 'transfer', count: number): Promise<number[]> {
    let buffer = new ArrayBuffer(bytes);
    return await turns(count, async () => {
      const answer = once(this.#thread, 'message');
      this.#thread.postMessage({ buffer, back: how === 'transfer' }, how === 'transfer' ? [buffer] : []);
      const [{ buffer: returned }] = (await answer) as [{ buffer?: ArrayBuffer }];
      if (returned !== undefined) buffer = returned;
    });
  }

  /** Milliseconds of passing a word to the other thread and back, each side asleep meanwhile. Blocks this thread. */
  async wakeUps(count: number): Promise<number[]> {
    const words = new Int32Array(new SharedArrayBuffer(8));
    this.#thread.postMessage({ words, count: count + 20 });
    const times: number[] = [];
    for (let i = 1; i <= count + 20; i++) {
      const before = performance.now();
      Atomics.store(words, 0, i);
      Atomics.notify(words, 0);
      while (Atomics.load(words, 1) !== i) Atomics.wait(words, 1, i - 1);
      if (i > 20) times.push(performance.now() - before);
    }
    await once(this.#thread, 'message');
    return times;
  }

  /** Milliseconds for `total` bytes in messages of `size`, with at most 16 under way. */
  async stream(total: number, size: number, how: 'copy' | 'transfer'): Promise<number> {
    const before = performance.now();
    let free = Array.from({ length: 16 }, () => new ArrayBuffer(size));
    let [sent, got] = [0, 0];
    const done = Promise.withResolvers<void>();
    const send = (): void => {
      for (const buffer of free.splice(0)) {
        if (sent * size >= total) return;
        sent++;
        this.#thread.postMessage({ buffer, back: how === 'transfer' }, how === 'transfer' ? [buffer] : []);
        if (how === 'copy') copies.push(buffer);
      }
    };
    const copies: ArrayBuffer[] = [];
    this.#thread.on('message', ({ buffer }: { buffer?: ArrayBuffer }) => {
      free = [...free, buffer ?? copies.shift()!];
      if (++got * size >= total) done.resolve();
      else send();
    });
    send();
    await done.promise;
    this.#thread.removeAllListeners('message');
    return performance.now() - before;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread.terminate();
  }
}

/** A child process at two pipes. */
export async function pipe(): Promise<PipeBaseline> {
  const child = spawn(process.execPath, [CHILD, 'pipe'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const baseline = new PipeBaseline(child);
  await baseline.handOver(1, 1);
  return baseline;
}

export class PipeBaseline implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #to: Writable;
  readonly #from: Readable;
  constructor(child: ChildProcess) {
    this.#child = child;
    this.#to = child.stdin as Writable;
    this.#from = child.stdout as Readable;
  }

  /** Milliseconds until the child has got `bytes` and answered with one. */
  handOver(bytes: number, count: number): Promise<number[]> {
    const message = Buffer.alloc(4 + bytes);
    message.writeUInt32LE(bytes);
    return turns(
      count,
      async () => {
        const answer = once(this.#from, 'data');
        this.#to.write(message);
        await answer;
      },
      Math.min(count, 20),
    );
  }

  /** Milliseconds for `total` bytes in messages of `size`; the pipe holds back whoever is too fast. */
  async stream(total: number, size: number): Promise<number> {
    const message = Buffer.alloc(4 + size);
    message.writeUInt32LE(size);
    let answers = 0;
    const done = Promise.withResolvers<void>();
    const count = (data: Buffer): void => {
      answers += data.length;
      if (answers * size >= total) done.resolve();
    };
    this.#from.on('data', count);
    const before = performance.now();
    for (let sent = 0; sent < total; sent += size) {
      if (!this.#to.write(message)) await once(this.#to, 'drain');
    }
    await done.promise;
    this.#from.off('data', count);
    return performance.now() - before;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'close');
    this.#to.end();
    await ended;
  }
}
