/**
 * Visits: an activation inside of a domain. What it has there is the saved frames of that domain's code, in a block of the heap
 * or, of what the domain was started with, on its frame stack.
 */
import { RESOURCE } from '../../abi/account.ts';
import { defineRecord, num, u8, u32 } from '../../space/index.ts';
import { charge, nameAccount, refund, unnameAccount } from '../account/account.ts';
import type { Domain } from '../domain.ts';

export const VisitRecord = defineRecord('visit', {
  outer: num('core', 'The visit around it, 0 for none.'),
  frames: num('core', 'Heap block: saved frames, outermost first; 0 for none.'),
  frameBytes: num('core', 'Bytes of them.'),
  domain: u32('kernel', 'Number of the domain visited.'),
  entry: u32('kernel', 'The function called there.'),
  askedFor: num('kernel', 'What is asked, where the call is a question to a kind; 0 else.'),
  entered: u8('core', '1 when it counts as being inside; else it waits at the door.'),
  onStack: u8('core', "1 when its frames lie on the domain's frame stack."),
  payer: num('core', 'The account that pays for the frames: of the domain where the activation began.'),
  charged: num('core', 'Bytes that were charged to it.'),
});
const V = VisitRecord.fields;

/** First bytes of a block for saved frames. */
const FRAMES_FIRST_BYTES = 256;

export class Visit {
  readonly at: number;
  readonly domain: Domain;
  constructor(at: number, domain: Domain) {
    this.at = at;
    this.domain = domain;
  }

  /** The function called. */
  get entry(): number {
    return V.entry.get(this.domain.space, this.at);
  }
  get onStack(): boolean {
    return V.onStack.get(this.domain.space, this.at) !== 0;
  }
  get entered(): boolean {
    return V.entered.get(this.domain.space, this.at) !== 0;
  }
  set entered(value: boolean) {
    V.entered.set(this.domain.space, this.at, value ? 1 : 0);
  }
  /** What is asked, where the call is a question of the kernel's to a kind; 0 for a call of a program. */
  get askedFor(): number {
    return V.askedFor.get(this.domain.space, this.at);
  }
  set askedFor(value: number) {
    V.askedFor.set(this.domain.space, this.at, value);
  }
  /** Where its saved frames lie in the heap. */
  get frames(): number {
    return V.frames.get(this.domain.space, this.at);
  }
  get frameBytes(): number {
    return V.frameBytes.get(this.domain.space, this.at);
  }
  set frameBytes(value: number) {
    V.frameBytes.set(this.domain.space, this.at, value);
  }

  /** An account pays for its frames from now on, if none does yet. */
  payBy(account: number): void {
    const { space } = this.domain;
    if (V.payer.get(space, this.at) !== 0 || account === 0) return;
    V.payer.set(space, this.at, account);
    nameAccount(space, account);
    this.#settle();
  }
  /** Charges what must be, for nobody can be asked who unwinds; see Runner.slice. */
  #settle(): void {
    const { space } = this.domain;
    const [payer, before, block] = [V.payer.get(space, this.at), V.charged.get(space, this.at), this.frames];
    const now = payer === 0 || block === 0 ? 0 : space.heap.blockBytes(block);
    if (now === before) return;
    charge(space, payer, RESOURCE.memory, now - before);
    V.charged.set(space, this.at, now);
  }

  /** Keeps frames that lie nowhere in the space yet, outermost first. @throws SpaceFullError */
  keep(frames: readonly Uint8Array[]): void {
    const { space } = this.domain;
    const length = frames.reduce((sum, frame) => sum + frame.length, 0);
    const block = space.heap.alloc(Math.max(length, FRAMES_FIRST_BYTES));
    V.frames.set(space, this.at, block);
    V.frameBytes.set(space, this.at, length);
    let at = block;
    for (const frame of frames) {
      space.writeBytes(at, frame);
      at += frame.length;
    }
  }

  /**
   * Keeps the frames in [from, to) of the space, inside of those it has.
   * @throws SpaceFullError with nothing changed
   */
  append(from: number, to: number): void {
    const { space } = this.domain;
    const { at, frames, frameBytes } = this;
    const length = frameBytes + to - from;
    const room = frames === 0 ? 0 : space.heap.blockBytes(frames);
    let block = frames;
    if (length > room) {
      const wanted = Math.max(length, FRAMES_FIRST_BYTES, 2 * room);
      block = frames === 0 ? space.heap.alloc(wanted) : space.heap.resize(frames, wanted);
      V.frames.set(space, at, block);
    }
    space.copy(block + frameBytes, from, to - from);
    V.frameBytes.set(space, at, length);
    if (block !== frames) this.#settle();
  }

  /** Forgets the record and the frames. The domain is left to whoever asks. */
  drop(): void {
    const { space } = this.domain;
    const payer = V.payer.get(space, this.at);
    refund(space, payer, RESOURCE.memory, V.charged.get(space, this.at));
    unnameAccount(space, payer);
    if (this.frames !== 0) space.heap.free(this.frames);
    space.heap.free(this.at);
  }
}

/** A visit of a domain that nobody's list holds yet. @throws SpaceFullError */
export function makeVisit(domain: Domain, entry: number, onStack = false): Visit {
  const { space } = domain;
  const at = space.heap.alloc(VisitRecord.bytes);
  V.domain.set(space, at, domain.id);
  V.entry.set(space, at, entry);
  V.onStack.set(space, at, onStack ? 1 : 0);
  return new Visit(at, domain);
}
