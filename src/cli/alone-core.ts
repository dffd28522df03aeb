/**
 * The thread that runs the program in a process of its own (alone.ts): takes orders from descriptor 3 and answers there, as
 * abi/channel.ts has it. It waits for them: nobody else needs this thread.
 */
import { readSync, writeSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import {
  clipped,
  DeltaReader,
  encodeStop,
  MESSAGE,
  MessageReader,
  message,
  type Order,
} from '../abi/channel.ts';
import { decodeEvidence, EVIDENCE_SECTION } from '../abi/evidence.ts';
import { assert } from '../base/assert.ts';
import { ALONE, programInfo } from '../compiler/index.ts';
import { tuneEngine } from '../drivers/engine.ts';
import type { Opening } from '../drivers/processes.ts';
import { Alone } from '../kernel/alone.ts';
import type { LoadedModule } from '../kernel/program.ts';

const CHANNEL = 3;
const READ_BYTES = 1 << 18;

/** The channel, read and written by this thread alone, which waits for it. */
class Channel {
  readonly #reader = new MessageReader();
  readonly #buffer = new Uint8Array(READ_BYTES);
  #waiting: { kind: number; payload: Uint8Array }[] = [];

  next(): { kind: number; payload: Uint8Array } {
    while (this.#waiting.length === 0) {
      const bytes = readSync(CHANNEL, this.#buffer);
      if (bytes === 0) process.kill(process.pid, 'SIGKILL');
      // Messages are views of what they came in: of a copy, which is as small as they are.
      this.#waiting = this.#reader.push(this.#buffer.slice(0, bytes));
    }
    return this.#waiting.shift() as { kind: number; payload: Uint8Array };
  }

  send(parts: readonly Uint8Array[]): void {
    const bytes = Buffer.concat(parts);
    for (let at = 0; at < bytes.length; ) at += writeSync(CHANNEL, bytes, at);
  }
}

/** The program and what it may have. */
function receive(channel: Channel): { module: LoadedModule; opening: Opening } {
  const first = channel.next();
  assert(first.kind === MESSAGE.open, 'an opening comes first');
  const opening = JSON.parse(new TextDecoder().decode(first.payload)) as Opening;
  const whole = (length: number): Uint8Array<ArrayBuffer> => {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const { payload } = channel.next();
      bytes.set(payload, at);
      at += payload.length;
    }
    return bytes;
  };
  const original = whole(opening.originalBytes);
  const rewritten = whole(opening.rewrittenBytes);
  const program = new WebAssembly.Module(rewritten);
  const [evidence] = WebAssembly.Module.customSections(program, EVIDENCE_SECTION);
  assert(evidence !== undefined, 'the compiler says what it made');
  let info: LoadedModule['info'] | undefined;
  return {
    opening,
    module: {
      ...{ hash: opening.hash, program, evidence: decodeEvidence(new Uint8Array(evidence)) },
      get info() {
        info ??= programInfo(original, rewritten, ALONE);
        return info;
      },
    },
  };
}

/** Worker: takes orders for ever. */
function serve(): void {
  tuneEngine();
  const channel = new Channel();
  try {
    const { module, opening } = receive(channel);
    const alone = new Alone(module, {
      monotonicNs: () => process.hrtime.bigint(),
      hashKey: Uint8Array.from(Buffer.from(opening.hashKey, 'hex')),
      memoryLimitBytes: opening.memoryLimitBytes,
      frameStackBytes: opening.frameBytes,
    });
    parentPort?.postMessage(alone.space.memory);
    channel.send(message(MESSAGE.ready));
    const deltas = new DeltaReader(opening);
    for (;;) {
      const { kind, payload } = channel.next();
      if (kind !== MESSAGE.order) deltas.part(kind, payload);
      else channel.send(encodeStop(alone.run(deltas.order(payload) as Order)));
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    // V8 cannot give what the program needs: that is for people to hear, and no bug.
    channel.send(message(MESSAGE.failed, clipped(error.message)));
  }
}

serve();
