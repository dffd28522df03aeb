/**
 * Random lives of segments against a model: what each access through each pointer gives, of a byte or of many, over copies, freezing,
 * growth, revocations, crashes and moves; and that all is given back in the end. Whether a capability is good the kernel is asked: that
 * has a model test of its own (capability/model.test.ts).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RESOURCE } from '../../abi/account.ts';
import { ERRNO, errnoText } from '../../abi/errno.ts';
import { OBJECT, RIGHT } from '../../abi/objects.ts';
import { FRAME_BYTES, WINDOW_BASE } from '../../base/limits.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import { OWNER } from '../../space/index.ts';
import { charge, left, refund, usedOf } from '../account/account.ts';
import { byteAt } from './file.testing.ts';
import { SegmentSystem } from './segment.testing.ts';

const LIVES = Number(process.env.PERDURE_ROUNDS ?? 6);
const STEPS = 300;
const OUT = 'out of bounds memory access';
const FULL = `what is mapped here cannot be read: ${errnoText(ERRNO.DQUOT)}`;
const NAMES = ['a', 'b', 'c'];
const SIZES = [1, 100, 4096, 20_000, 65_536, 70_000, 200_000, 300_000];
/** Where in a domain's own memory stretches are copied from windows. */
const OWN = 4096;

/** Bytes by offset; the rest is that of a file as long as `file`, and zero behind that. */
interface Segment {
  size: number;
  readonly file: number;
  bytes: Map<number, number>;
  sealed: boolean;
  freezer: string;
  freezerHandle: number;
}
interface Handle {
  readonly domain: string;
  readonly handle: number;
  readonly segment: Segment;
}
interface Window {
  readonly domain: string;
  readonly near: number;
  readonly bytes: number;
  readonly offset: number;
  readonly writable: boolean;
  readonly segment: Segment;
  readonly held: { capability: number; turn: number };
}

const read = ({ bytes, file }: Segment, offset: number): number =>
  bytes.get(offset) ?? (offset < file ? byteAt(offset) : 0);

class Life {
  readonly system = new SegmentSystem();
  readonly prng: Prng;
  handles: Handle[] = [];
  windows: Window[] = [];
  saved: { handles: Handle[]; windows: Window[] } | null = null;

  constructor(prng: Prng) {
    this.prng = prng;
  }

  /** Whether a handle is good, and has these rights. */
  good({ domain, handle }: Handle, rights = 0): boolean {
    const { kernel } = this.system;
    return (
      typeof kernel.core.clists.find(this.system.domain(domain), handle, rights, OBJECT.segment) !== 'number'
    );
  }
  held({ domain, handle }: Handle): { capability: number; turn: number } {
    const found = this.system.kernel.core.clists.find(this.system.domain(domain), handle);
    assert.ok(typeof found !== 'number');
    return { capability: found.capability, turn: found.turn };
  }
  frozen(segment: Segment, domain: string): boolean {
    const { freezer: by, freezerHandle: handle } = segment;
    if (by !== '' && !this.good({ domain: by, handle, segment })) segment.freezer = '';
    return segment.freezer !== '' && segment.freezer !== domain;
  }
  mayWrite(segment: Segment, domain: string): boolean {
    return !segment.sealed && !this.frozen(segment, domain);
  }
  /** The window that bytes at a near address lie in, where they may be touched. */
  window(domain: string, near: number, writes: boolean, bytes = 4): Window | undefined {
    const { capabilities } = this.system.kernel.core;
    const found = this.windows.find(
      (w) => w.domain === domain && near >= w.near && near + bytes <= w.near + w.bytes,
    );
    if (!found) return undefined;
    if (capabilities.check(found.held.capability, found.held.turn) !== 0) {
      this.windows = this.windows.filter((w) => w !== found); // the kernel will find it dead as well
      return undefined;
    }
    return writes && !(found.writable && this.mayWrite(found.segment, domain)) ? undefined : found;
  }

  step(): void {
    const { prng, system } = this;
    const kind = prng.below(32);
    if (kind === 0 && this.handles.length < 12) return this.create(prng.pick(NAMES));
    if (kind === 1) return this.checkpoint();
    if (kind === 2) return this.crash();
    if (kind === 3) return system.kernel.relocate(system.kernel.find(prng.pick(NAMES)));
    if (kind === 4) return void system.kernel.compact();
    if (kind < 16 && this.windows.length > 0) return this.access();
    if (this.handles.length === 0) return;
    const handle = prng.pick(this.handles);
    if (this.good(handle)) this.act(handle, kind);
    else if (prng.chance(0.3)) this.close(handle);
  }

  create(domain: string): void {
    const size = this.prng.pick(SIZES);
    const file = this.prng.chance(0.4) ? size : 0;
    const handle =
      file > 0 ? this.system.over(domain, size).handle : this.system.ok(domain, 'seg_create', BigInt(size));
    assert.ok(handle > 0);
    const blank = { size, file, bytes: new Map(), sealed: false, freezer: '', freezerHandle: 0 };
    this.handles.push({ domain, handle, segment: blank });
  }

  act(given: Handle, kind: number): void {
    const { prng, system } = this;
    const { domain, handle, segment } = given;
    const gives = (what: string, ...args: (number | bigint)[]): number =>
      system.call(domain, what, handle, ...args) as number;
    if (kind < 20) return this.map(given);
    if (kind === 20) {
      const to = prng.pick(NAMES);
      const passed = system.pass(domain, handle, to, prng.pick([255, 255, 255, RIGHT.read | RIGHT.map]));
      if (passed >= 0) this.handles.push({ domain: to, handle: passed, segment });
    } else if (kind === 21) {
      const derived = gives('cap_derive', 255, 0n);
      if (derived >= 0) this.handles.push({ domain, handle: derived, segment });
    } else if (kind === 22) gives('cap_revoke');
    else if (kind === 23) this.close(given);
    else if (kind === 24 && prng.chance(0.1)) {
      if (gives('seg_seal') === 0) segment.sealed = true;
    } else if (kind === 25) {
      const free = !this.frozen(segment, domain);
      const was = segment.freezer;
      const result = gives('seg_freeze');
      if (!this.good(given, RIGHT.manage)) assert.ok(result < 0);
      else assert.equal(result === 0, free);
      if (result === 0 && was === '') Object.assign(segment, { freezer: domain, freezerHandle: handle });
    } else if (kind === 26) {
      this.frozen(segment, domain);
      assert.equal(gives('seg_thaw') === 0, segment.freezer === domain);
      if (segment.freezer === domain) segment.freezer = '';
    } else if (kind === 27 || kind === 29) {
      const copy = gives('seg_copy');
      if (copy < 0) return;
      const fresh = { ...segment, bytes: new Map(segment.bytes), sealed: false, freezer: '' };
      this.handles.push({ domain, handle: copy, segment: fresh });
    } else if (kind === 28) {
      const size = segment.size + prng.pick([0, 1, 5000, 100_000]);
      if (gives('seg_grow', BigInt(size)) === 0) segment.size = size;
      else assert.ok(segment.sealed || !this.good(given, RIGHT.manage));
    } else this.copyBytes(given);
  }

  map({ domain, handle, segment }: Handle): void {
    const { prng, system } = this;
    const offset = prng.chance(0.7) ? 0 : 4096 * prng.below(Math.ceil(segment.size / 4096));
    const bytes = prng.chance(0.7) ? segment.size - offset : 1 + prng.below(segment.size - offset);
    const writable = prng.chance(0.6);
    const near = system.call(
      domain,
      'seg_map',
      handle,
      BigInt(offset),
      BigInt(bytes),
      writable ? 3 : 1,
      0,
    ) as number;
    const given = { domain, handle, segment };
    const may = this.good(given, RIGHT.read | RIGHT.map | (writable ? RIGHT.write : 0));
    assert.equal(near >= 0, may && (!writable || this.mayWrite(segment, domain)), `${near}`);
    if (near < 0) return;
    // What was revoked and found dead may have made room.
    this.windows = this.windows.filter(
      (w) => w.domain !== domain || w.near >= near + bytes || near >= w.near + w.bytes,
    );
    this.windows.push({ domain, near, bytes, offset, writable, segment, held: this.held(given) });
  }

  copyBytes({ domain, handle, segment }: Handle): void {
    const { prng, system } = this;
    const offset = prng.below(segment.size);
    const count = Math.min(4, segment.size - offset);
    if (prng.chance(0.5)) {
      system.call(domain, 'set', 512, 0x01020304);
      const done = system.call(domain, 'seg_write', handle, BigInt(offset), 512, count) as number;
      if (done < 0) return;
      assert.ok(this.mayWrite(segment, domain));
      for (let i = 0; i < count; i++) segment.bytes.set(offset + i, 4 - i);
      return;
    }
    system.call(domain, 'set', 512, 0);
    if ((system.call(domain, 'seg_read', handle, BigInt(offset), 512, 4) as number) < 0) return;
    for (let i = 0; i < 4; i++)
      assert.equal(system.call(domain, 'get8', 512 + i), i < count ? read(segment, offset + i) : 0);
  }

  access(): void {
    const { prng, system } = this;
    const { domain, near, bytes } = prng.pick(this.windows);
    const edge = near + FRAME_BYTES * prng.below(4) - prng.below(4);
    const at =
      near +
      prng.pick([
        0,
        4,
        bytes - 4,
        bytes - 3,
        bytes,
        -4,
        prng.below(bytes),
        4 * prng.below(16384),
        edge - near,
      ]);
    const act = prng.below(9);
    if (this.prng.chance(0.15)) return this.pressure(domain, at);
    if (act === 0) return this.copyOut(domain, at, prng.pick([1, 16, 5000, 80_000]));
    if (act === 1) return this.fill(domain, at, prng.pick([1, 16, 5000, 80_000]));
    if (act === 2) return this.sum(domain, at, prng.pick([1, 4, 2000]));
    if (act === 3) return this.between(domain, at, near);
    if (act < 5) {
      const found = this.window(domain, at, false);
      const result = system.call(domain, 'get', at);
      if (found === undefined) return assert.equal(result, OUT);
      return assert.equal(result, this.word(found, at));
    }
    const found = this.window(domain, at, true);
    const value = prng.u32() | 0;
    const result = system.call(domain, 'set', at, value);
    if (found === undefined) return assert.equal(result, OUT);
    assert.equal(result, undefined);
    this.store(found, at, value);
  }
  store({ segment, near, offset }: Window, at: number, value: number): void {
    for (let i = 0; i < 4; i++) segment.bytes.set(at - near + offset + i, (value >>> (8 * i)) & 255);
  }
  /** A load behind a store, which may be to what it shows, to a copy of that, or to what that is a copy of. */
  between(domain: string, at: number, near: number): void {
    const { prng, system } = this;
    const other = prng.pick(this.windows.filter((w) => w.domain === domain));
    const to = other.near + (at - near);
    const value = prng.u32() | 0;
    const found = this.window(domain, at, false);
    const written = found && this.window(domain, to, true);
    const result = system.call(domain, 'between', at, to, value);
    if (found === undefined || written === undefined) return assert.equal(result, OUT);
    this.store(written, to, value);
    assert.equal(result, this.word(found, at));
  }
  /** Two loads while there is no room but what is dropped. What was shown stays, whatever is dropped for the second. */
  pressure(domain: string, at: number): void {
    const { system, prng } = this;
    const other = prng.pick(this.windows.filter((w) => w.domain === domain));
    const to = other.near + prng.below(other.bytes);
    const { space } = system;
    const { account } = system.domain(domain);
    const taken = left(space, account, RESOURCE.memory);
    charge(space, account, RESOURCE.memory, taken);
    const found = this.window(domain, at, false);
    const both = found !== undefined && this.window(domain, to, false) !== undefined;
    const result = system.call(domain, 'again', at, to);
    refund(space, account, RESOURCE.memory, taken);
    if (result === FULL) return;
    assert.equal(result, both ? this.word(found, at) : OUT);
  }
  byte({ segment, near, offset }: Window, at: number): number {
    return read(segment, at - near + offset);
  }
  word(window: Window, at: number): number {
    const of = (i: number): number => this.byte(window, at + i) << (8 * i);
    return of(0) | of(1) | of(2) | of(3);
  }

  copyOut(domain: string, at: number, bytes: number): void {
    const { prng, system } = this;
    const found = this.window(domain, at, false, bytes);
    const result = system.call(domain, 'copy', OWN, at, bytes);
    if (found === undefined) return assert.equal(result, OUT);
    assert.equal(result, undefined);
    for (const i of [0, bytes - 1, ...Array.from({ length: 20 }, () => prng.below(bytes))])
      assert.equal(system.call(domain, 'get8', OWN + i), this.byte(found, at + i), `byte ${i} of ${bytes}`);
  }
  fill(domain: string, at: number, bytes: number): void {
    const found = this.window(domain, at, true, bytes);
    const value = this.prng.below(256);
    const result = this.system.call(domain, 'fill', at, value, bytes);
    if (found === undefined) return assert.equal(result, OUT);
    assert.equal(result, undefined);
    for (let i = 0; i < bytes; i++) found.segment.bytes.set(at - found.near + found.offset + i, value);
  }
  sum(domain: string, at: number, words: number): void {
    const found = this.window(domain, at, false, 4 * words);
    const result = this.system.call(domain, 'sum', at, words);
    if (found === undefined) return assert.equal(result, OUT);
    let sum = 0;
    for (let i = 0; i < words; i++) sum = (sum + this.word(found, at + 4 * i)) | 0;
    assert.equal(result, sum);
  }

  close(given: Handle): void {
    this.system.ok(given.domain, 'cap_close', given.handle);
    this.handles = this.handles.filter((h) => h !== given);
  }

  checkpoint(): void {
    this.system.checkpoint();
    const copies = new Map<Segment, Segment>();
    this.saved = {
      handles: this.handles.map((h) => ({ ...h, segment: copyOf(copies, h.segment) })),
      windows: this.windows.map((w) => ({ ...w, segment: copyOf(copies, w.segment) })),
    };
  }
  crash(): void {
    if (this.saved === null) return;
    this.system.crash();
    const { handles, windows } = this.saved;
    [this.handles, this.windows] = [handles, windows];
    this.checkpoint();
  }
}

function copyOf(copies: Map<Segment, Segment>, segment: Segment): Segment {
  let copy = copies.get(segment);
  if (copy === undefined) {
    copy = { ...segment, bytes: new Map(segment.bytes) };
    copies.set(segment, copy);
  }
  return copy;
}

test('segments are what a model of them is, over copies, freezing, revoking, crashes and moves', async () => {
  const first = seedFrom(process.env.PERDURE_SEED, Date.now());
  for (let n = 0; n < LIVES; n++) {
    const seed = (first + n) >>> 0;
    const life = new Life(new Prng(seed));
    try {
      await life.system.domains(...NAMES);
      for (let step = 0; step < STEPS; step++) life.step();
      const { system } = life;
      for (const handle of [...life.handles]) life.close(handle);
      for (const { domain, near } of life.windows) system.call(domain, 'seg_unmap', near);
      for (let slot = 1; slot < 200; slot++)
        for (const name of NAMES) system.call(name, 'get', WINDOW_BASE + slot * FRAME_BYTES); // what is dead is swept
      const { space, kernel } = system;
      assert.deepEqual(
        [space.segments.count, kernel.core.windows.count, kernel.core.objects.count],
        [0, 0, 0],
      );
      assert.equal(space.frames.ownedBy(OWNER.segment).length, 0);
      for (const name of NAMES) {
        const domain = system.domain(name);
        assert.equal(usedOf(space, domain.account, RESOURCE.memory), domain.memoryBytes);
      }
    } catch (error) {
      console.log(`PERDURE_SEED=${seed} PERDURE_ROUNDS=1 replays this`);
      throw error;
    }
  }
});
