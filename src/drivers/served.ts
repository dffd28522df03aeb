/**
 * Objects that whoever embeds the space serves, by name: what a program asks of one goes to another thread and is answered
 * some time later.
 *
 * Order: a request leaves when the checkpoint that holds it is durable, like all else that is told to the outside. It is
 * in the asking operation's record, with a number that is never used twice; so after a restart it is asked again, and
 * nobody knows then whether it was answered: what happens to it the object's policy says. Requests to a name that nobody
 * serves at the moment wait.
 *
 * What an object has opened is an object of its own, for as long as anybody has it. It is known by the number of the request that
 * opened it, and to later processes by a key, which is whoever serves it to choose.
 *
 * In the space: the names, with their numbers and policies; what is open, with its keys. Here: what is under way in this process.
 */
import { ERRNO } from '../abi/errno.ts';
import { EnvironmentError } from '../base/errors.ts';
import { GRANT_NAME_MAX_BYTES } from '../base/limits.ts';
import { Block, blocksOf, pushFront, unlinkBlock } from '../kernel/outbox-memory.ts';
import {
  type Driver,
  type Operation,
  type ServedAnswer,
  type ServedPort,
  type ServedRequest,
  type Wake,
  WOULD_BLOCK,
} from '../kernel/ports.ts';
import { type DriverState, STATE } from './state.ts';

/** What was opened: the request that did it, the object it belongs to, and how that knows it. */
const OPENED = { next: 0, id: 8, root: 16, length: 24, key: 32 } as const;
const NAME = { next: 0, number: 8, policy: 16, length: 20, text: 24 } as const;
/** What becomes of requests that a restart found unanswered. Numbers are part of the checkpoint. */
export const POLICY = { again: 0, fail: 1 } as const;
export type ServedPolicy = keyof typeof POLICY;
/** Nobody serves it any more, until somebody does again. */
const ENDED = 2;

/** A request on its way to whoever serves the object. */
export interface Outgoing extends ServedRequest {
  readonly id: number;
  readonly name: string;
  /** It was under way when an earlier process ended: it may have been seen before. */
  readonly again: boolean;
  /** What is asked, where that is not the named object itself. */
  readonly opened: OpenedName | null;
  /** The other folder, as `other` says: null there is none, or it is the same. */
  readonly to: OpenedName | 'root' | null;
}

/** What an object has opened: by the request that did, and by the key it had then. */
export interface OpenedName {
  readonly id: number;
  readonly key: string;
}

/** What whoever serves objects is told beside requests; ids are never used twice in a space. */
export type Notice =
  /** Nobody waits for the answer to this request any more. */
  | { readonly what: 'canceled'; readonly id: number }
  /** Nobody holds any more what this request opened. */
  | { readonly what: 'released'; readonly id: number };

interface Pending {
  readonly domain: number;
  readonly name: Block;
  readonly request: Outgoing;
  /** The checkpoint that holds it; -1 while none has been taken, 0 when it is durable. */
  seq: number;
  sent: boolean;
  answer: ServedAnswer | undefined;
}

export interface ServedOptions {
  readonly state: DriverState;
  readonly wake: Wake;
  readonly send: (request: Outgoing) => void;
  readonly notify: (notice: Notice) => void;
}

export class ServedObjects implements Driver, ServedPort {
  readonly #o: ServedOptions;
  readonly #names = new Map<number, Block>();
  /** Numbers of the names that this process serves. */
  readonly #open = new Set<number>();
  readonly #pending = new Map<number, Pending>();
  /** What is open, by the request that opened it. */
  readonly #opened = new Map<number, Block>();

  constructor(options: ServedOptions) {
    this.#o = options;
    for (const block of blocksOf(options.state.root, STATE.served, NAME.next)) {
      this.#names.set(block.u64(NAME.number), block);
    }
    for (const block of blocksOf(options.state.root, STATE.opened, OPENED.next)) {
      this.#opened.set(block.u64(OPENED.id), block);
    }
  }

  /**
   * From now on requests to this name are sent. Gives its number. What waits is sent at once.
   * @throws EnvironmentError for a name that cannot be, or no room
   */
  serve(name: string, policy: ServedPolicy): number {
    const block = this.#named(name) ?? this.#create(name);
    const number = block.u64(NAME.number);
    if (this.#open.has(number)) throw new EnvironmentError('name-taken', `"${name}" is served already`);
    block.setU32(NAME.policy, POLICY[policy]);
    this.#open.add(number);
    for (const pending of this.#pending.values()) this.#send(pending);
    return number;
  }

  /** Nobody serves the name any more: what was asked of it, and will be, is answered with GONE. */
  end(name: string): void {
    const block = this.#named(name);
    if (block === undefined) return;
    this.#open.delete(block.u64(NAME.number));
    block.setU32(NAME.policy, ENDED);
    for (const pending of this.#pending.values()) {
      if (pending.name === block) this.#settle(pending, GONE);
    }
  }

  /** The number of a name that was ever served. @throws EnvironmentError */
  numberOf(name: string): number {
    const block = this.#named(name);
    if (block !== undefined) return block.u64(NAME.number);
    throw new EnvironmentError('not-served', `nothing has been served under the name "${name}"`);
  }

  ask(
    op: Operation,
    object: number,
    isOpened: boolean,
    request: () => ServedRequest,
  ): ServedAnswer | typeof WOULD_BLOCK {
    const name = this.#names.get(this.rootOf(object, isOpened));
    if (name === undefined) return GONE;
    const known = this.#pending.get(op.effect);
    if (known !== undefined) {
      if (known.answer === undefined) return WOULD_BLOCK;
      this.#pending.delete(op.effect);
      return known.answer;
    }
    const again = op.effect !== 0;
    const policy = name.u32(NAME.policy);
    if (policy === ENDED || (again && policy === POLICY.fail)) return GONE;
    if (!again) op.effect = this.#o.state.nextEffect();
    const id = op.effect;
    const asked = request();
    const opened = isOpened ? this.#nameOf(object) : null;
    const { other } = asked;
    const to: Outgoing['to'] = other === null ? null : other === 0 ? 'root' : this.#nameOf(other);
    const outgoing = { ...asked, id, name: textOf(name), again, opened, to };
    // What comes out of a checkpoint is in one.
    const { domain } = op;
    const pending = { domain, name, request: outgoing, seq: again ? 0 : -1, sent: false, answer: undefined };
    this.#pending.set(id, pending);
    this.#send(pending);
    return WOULD_BLOCK;
  }

  cancel(id: number): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    if (pending.answer?.opened !== undefined) this.#o.notify({ what: 'released', id });
    else if (pending.sent) this.#o.notify({ what: 'canceled', id });
    this.#o.wake(pending.domain);
  }

  keep(id: number, of: number, isOpened: boolean, key: string): boolean {
    const { state } = this.#o;
    const text = new TextEncoder().encode(key);
    const block = Block.create(state.memory, OPENED.key + text.length);
    if (block === undefined) return false;
    block.setU64(OPENED.id, id);
    block.setU64(OPENED.root, this.rootOf(of, isOpened));
    block.setU32(OPENED.length, text.length);
    block.setBytes(OPENED.key, text);
    pushFront(state.root, STATE.opened, block, OPENED.next);
    this.#opened.set(id, block);
    return true;
  }

  release(id: number): void {
    const block = this.#opened.get(id);
    if (block !== undefined) {
      this.#opened.delete(id);
      unlinkBlock(this.#o.state.root, STATE.opened, block, OPENED.next);
      block.release();
    }
    this.#o.notify({ what: 'released', id });
  }

  rootOf(object: number, isOpened: boolean): number {
    return isOpened ? (this.#opened.get(object)?.u64(OPENED.root) ?? 0) : object;
  }

  #nameOf(id: number): OpenedName {
    const block = this.#opened.get(id);
    return { id, key: block === undefined ? '' : keyOf(block) };
  }

  /** Whoever serves it has answered. */
  answer(id: number, answer: ServedAnswer): void {
    const pending = this.#pending.get(id);
    if (pending !== undefined) this.#settle(pending, answer);
    else if (answer.opened !== undefined) this.#o.notify({ what: 'released', id });
  }

  /** Whether a domain waits for an answer. */
  has(domain: number): boolean {
    return [...this.#pending.values()].some((pending) => pending.domain === domain);
  }

  /** The domain is gone, and with it what it asked. */
  forget(domain: number): void {
    for (const [id, pending] of this.#pending) if (pending.domain === domain) this.cancel(id);
  }

  cut(seq: number): void {
    for (const pending of this.#pending.values()) if (pending.seq < 0) pending.seq = seq;
  }
  durable(seq: number): void {
    for (const pending of this.#pending.values()) {
      if (pending.seq <= 0 || pending.seq > seq) continue;
      pending.seq = 0;
      this.#send(pending);
    }
  }
  wantsCheckpoint(): boolean {
    return [...this.#pending.values()].some(({ seq }) => seq < 0);
  }
  /** What nobody has answered yet is asked again by the next process. */
  settled(): boolean {
    return true;
  }
  async close(): Promise<void> {}

  #send(pending: Pending): void {
    const { request, seq, sent, name } = pending;
    if (sent || seq !== 0 || !this.#open.has(name.u64(NAME.number))) return;
    pending.sent = true;
    this.#o.send(request);
  }

  #settle(pending: Pending, answer: ServedAnswer): void {
    pending.answer ??= answer;
    this.#o.wake(pending.domain);
  }

  #named(name: string): Block | undefined {
    for (const block of this.#names.values()) if (textOf(block) === name) return block;
    return undefined;
  }

  #create(name: string): Block {
    const { state } = this.#o;
    const text = new TextEncoder().encode(name);
    if (text.length === 0 || text.length > GRANT_NAME_MAX_BYTES) {
      const hint = `1 to ${GRANT_NAME_MAX_BYTES} bytes of UTF-8`;
      throw new EnvironmentError('bad-name', `nothing can be served under the name "${name}"`, hint);
    }
    const block = Block.create(state.memory, NAME.text + text.length);
    if (block === undefined) throw new EnvironmentError('space-full', 'the space is full');
    block.setU64(NAME.number, state.nextObject());
    block.setU32(NAME.length, text.length);
    block.setBytes(NAME.text, text);
    pushFront(state.root, STATE.served, block, NAME.next);
    this.#names.set(block.u64(NAME.number), block);
    return block;
  }
}

const GONE: ServedAnswer = { result: -ERRNO.GONE, value: 0n, data: new Uint8Array(0) };

const textOf = (block: Block): string =>
  new TextDecoder().decode(block.copy(NAME.text, block.u32(NAME.length)));

const keyOf = (block: Block): string =>
  new TextDecoder().decode(block.copy(OPENED.key, block.u32(OPENED.length)));
