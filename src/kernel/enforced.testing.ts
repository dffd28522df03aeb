/**
 * For tests only: processes for enforced domains that are none. Each is an `Alone` on this thread, with the channel's bytes
 * between, which tests can lose, change or keep back.
 */
import {
  DeltaReader,
  encodeOrder,
  encodeStop,
  MESSAGE,
  MessageReader,
  type Order,
  type Stop,
} from '../abi/channel.ts';
import { MalformedError } from '../base/errors.ts';
import { HASH_KEY_BYTES } from '../base/hash.ts';
import { ALONE, programInfo } from '../compiler/index.ts';
import { Alone } from './alone.ts';
import type { Enclosure, EnclosureOptions, Enclosures, Lost } from './enclosure.ts';
import type { LoadedModule } from './program.ts';

/** What the process makes of the bytes it is sent. */
function loaded({ hash, alone, evidence }: LoadedModule): LoadedModule {
  const { original, rewritten } = alone!;
  return {
    ...{ hash, evidence },
    program: new WebAssembly.Module(rewritten as Uint8Array<ArrayBuffer>),
    info: programInfo(original, rewritten, ALONE),
  };
}

export class LocalEnclosure implements Enclosure {
  alive = true;
  readonly alone: Alone;
  orders = 0;
  /** Bytes of pages that went over the channel, both ways. */
  moved = 0;
  readonly #options: EnclosureOptions;
  readonly #owner: LocalEnclosures;
  readonly #orderReader: DeltaReader;
  readonly #stopReader: DeltaReader;
  #come: Stop | Lost | null = null;

  constructor(options: EnclosureOptions, owner: LocalEnclosures) {
    this.#options = options;
    this.#owner = owner;
    this.#orderReader = new DeltaReader(options.limits);
    this.#stopReader = new DeltaReader(options.limits);
    this.alone = new Alone(loaded(options.module), {
      monotonicNs: () => owner.ns,
      hashKey: new Uint8Array(HASH_KEY_BYTES).fill(7),
      memoryLimitBytes: options.memoryLimitBytes,
      frameStackBytes: options.limits.frameBytes,
    });
  }

  run(order: Order): void {
    this.orders++;
    this.#count(order);
    if (this.#owner.dies(this.#options.domain)) {
      this.#come = { lost: 'its process was ended (a test)', hostile: false };
    } else {
      if (this.#owner.pauses()) new Int32Array(this.alone.space.memory.buffer)[16] = 1;
      const honest = this.alone.run(through(encodeOrder(order), this.#orderReader, MESSAGE.order) as Order);
      const stop = this.#owner.change(honest);
      this.#count(stop);
      try {
        this.#come = through(encodeStop(stop), this.#stopReader, MESSAGE.stop) as Stop;
      } catch (error) {
        if (!(error instanceof MalformedError)) throw error;
        this.#come = { lost: error.message, hostile: true };
      }
    }
    this.#owner.due.add(this.#options.domain);
  }

  #count({ pages }: Order | Stop): void {
    for (const { data } of pages) this.moved += data.length;
  }

  ask(): void {}
  take(): Stop | Lost | null {
    const come = this.#come;
    this.#come = null;
    if (come !== null && 'lost' in come) this.alive = false;
    return come;
  }
  cpuMicros(): number {
    return 5;
  }
  close(): void {
    this.alive = false;
  }
}

function through(parts: Uint8Array[], reader: DeltaReader, last: number): Order | Stop {
  const messages = new MessageReader();
  const bytes = Buffer.concat(parts);
  for (let at = 0; at < bytes.length; at += 5000) {
    for (const { kind, payload } of messages.push(bytes.subarray(at, at + 5000))) {
      if (kind !== last) reader.part(kind, payload);
      else return kind === MESSAGE.order ? reader.order(payload) : reader.stop(payload);
    }
  }
  throw new Error('no end came');
}

export class LocalEnclosures implements Enclosures {
  ns = 0n;
  readonly opened: LocalEnclosure[] = [];
  /** Domains whose process has something: wake them. */
  readonly due = new Set<number>();
  dies: (domain: number) => boolean = () => false;
  pauses: () => boolean = () => false;
  /** What the process says instead of what is. */
  change: (stop: Stop) => Stop = (stop) => stop;

  open(options: EnclosureOptions): LocalEnclosure {
    const enclosure = new LocalEnclosure(options, this);
    this.opened.push(enclosure);
    return enclosure;
  }
}
