/**
 * Two domains at a channel in a segment that both have mapped (guests/include/perdure/channel.h), the kernel not involved but where one
 * waits: a stream of 1 GiB in messages of 64 KiB, copied by the sender and looked at in place; and slots of 64 KiB and 1 MiB handed
 * over one at a time, each when the one before has been taken. Beside it the same between two threads by messages, by copy and by
 * transfer, and between two processes by pipes. `channel.stream.NAME` is GiB a second; `channel.handOver.BYTES.NAME` is microseconds
 * with one under way, `channel.handOverMany` with eight.
 */
import { readFileSync } from 'node:fs';
import { guest } from '../guests/build.ts';
import type { Kernel } from '../src/kernel/index.ts';
import { pipe, worker } from './baselines.ts';
import type { Group } from './groups.ts';
import { aim, median, short, table } from './stats.ts';
import { installBytes, newKernel } from './system.ts';

const TOTAL = 2 ** 30;
const MESSAGE = 65_536;
const SLOTS = 16;
const RUNS = 5;
const SIZES = [65_536, 2 ** 20];
const HANDED = 20_000;
const MANY = 8;
const STREAMED = 2 ** 28;

/** A channel between two new domains; a call at each end is run until both have ended. */
class Channel {
  readonly #kernel: Kernel = newKernel();
  readonly #ends: readonly [number, number];

  static async make(slots: number, bytes: number): Promise<Channel> {
    const module = await installBytes(readFileSync(await guest('stream')));
    return new Channel(module, slots, bytes);
  }

  constructor(module: Awaited<ReturnType<typeof installBytes>>, slots: number, bytes: number) {
    const kernel = this.#kernel;
    const [a, b] = ['a', 'b'].map((name) => kernel.createDomain({ name, module, resident: true })) as [
      number,
      number,
    ];
    this.#ends = [a, b];
    const segment = this.#call(a, 'create', slots, bytes);
    const { core } = kernel;
    const there = core.clists.pass(core.peek(a)!, segment, core.peek(b)!, 255);
    if (
      this.#call(a, 'open', segment, slots, bytes, 1) !== 0 ||
      this.#call(b, 'open', there, slots, bytes, 0) !== 0
    ) {
      throw new Error('the channel cannot be opened');
    }
  }

  #call(id: number, entry: string, ...args: number[]): number {
    const end = this.#kernel.invoke(id, entry, args);
    if (end.kind !== 'returned') throw new Error(`${entry}: ${end.kind}`);
    return Number(BigInt.asIntN(64, end.results[0]?.low ?? 0n));
  }

  /** Milliseconds. */
  run(send: string, receive: string, messages: number, bytes: number): number {
    const [a, b] = this.#ends;
    const kernel = this.#kernel;
    const before = performance.now();
    kernel.start(a, send, [messages, bytes]);
    kernel.start(b, receive, [messages]);
    while (!kernel.run().idle);
    const took = performance.now() - before;
    const sum = (messages * (messages - 1)) / 2;
    if (this.#call(b, 'outcome') !== sum) throw new Error('messages were lost');
    return took;
  }
}

export const channel: Group = async (_args, print) => {
  const streams = await streamRates();
  const rate = (name: string): string[] => [name, short(streams[name] as number)];
  print(table([['1 GiB in 64 KiB', 'GiB/s'], ...Object.keys(streams).map(rate)]));
  const handOver: Record<number, Record<string, number>> = {};
  const handOverMany: Record<number, Record<string, number>> = {};
  for (const bytes of SIZES) {
    handOver[bytes] = await handOverTimes(bytes);
    handOverMany[bytes] = await handOverRates(bytes);
  }
  const names = Object.keys(handOver[MESSAGE] as object);
  const of = (list: typeof handOver, name: string): string[] =>
    SIZES.map((bytes) => short(list[bytes]?.[name] as number));
  const rows = names.map((name) => [name, ...of(handOver, name), ...of(handOverMany, name)]);
  print(
    table([['handed over, us', '64 KiB', '1 MiB', '64 KiB, many under way', '1 MiB, the same'], ...rows]),
  );
  for (const [what, list] of Object.entries({ 'one under way': handOver, 'many under way': handOverMany })) {
    const at = list[2 ** 20] as Record<string, number>;
    const times = (at.pipe as number) / (at.channel as number);
    print(aim(`times the rate of a pipe at 1 MiB, ${what}`, times, 20, true));
  }
  return { stream: streams, handOver, handOverMany };
};

async function streamRates(): Promise<Record<string, number>> {
  const gib = (ms: number): number => 1000 / ms;
  const own = await Channel.make(SLOTS, MESSAGE);
  const messages = TOTAL / MESSAGE;
  own.run('send', 'receive', messages / 8, MESSAGE);
  const times = Array.from({ length: RUNS }, () => own.run('send', 'receive', messages, MESSAGE));
  await using thread = await worker();
  await using process = await pipe();
  return {
    channel: gib(median(times)),
    'postMessage, copied': gib(await thread.stream(TOTAL, MESSAGE, 'copy')),
    'postMessage, transferred': gib(await thread.stream(TOTAL, MESSAGE, 'transfer')),
    pipe: gib(await process.stream(TOTAL, MESSAGE)),
  };
}

/** Microseconds for each. */
async function handOverTimes(bytes: number): Promise<Record<string, number>> {
  const own = await Channel.make(1, bytes);
  own.run('hand', 'take', HANDED, bytes);
  const times = Array.from({ length: RUNS }, () => (own.run('hand', 'take', HANDED, bytes) * 1000) / HANDED);
  await using thread = await worker();
  await using process = await pipe();
  const us = (ms: readonly number[]): number => median(ms) * 1000;
  return {
    channel: median(times),
    'postMessage, copied': us(await thread.handOver(bytes, 'copy', 300)),
    'postMessage, transferred': us(await thread.handOver(bytes, 'transfer', 300)),
    pipe: us(await process.handOver(bytes, 300)),
  };
}

/** The same with several under way at a time: what a channel with more slots allows, and a pipe or a worker's queue. */
async function handOverRates(bytes: number): Promise<Record<string, number>> {
  const own = await Channel.make(MANY, bytes);
  own.run('hand', 'take', HANDED, bytes);
  const times = Array.from({ length: RUNS }, () => (own.run('hand', 'take', HANDED, bytes) * 1000) / HANDED);
  await using thread = await worker();
  await using process = await pipe();
  const us = (ms: number): number => (ms * 1000 * bytes) / STREAMED;
  return {
    channel: median(times),
    'postMessage, copied': us(await thread.stream(STREAMED, bytes, 'copy')),
    'postMessage, transferred': us(await thread.stream(STREAMED, bytes, 'transfer')),
    pipe: us(await process.stream(STREAMED, bytes)),
  };
}
