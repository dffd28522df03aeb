/**
 * Random lives of segments against a model: what each access through each pointer gives, over copies, freezing, growth,
 * revocations, crashes and moves; and that all is given back in the end. Whether a capability is good the kernel is asked: that
 * has a model test of its own (capability/model.test.ts).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RESOURCE } from '../../abi/account.ts';
import { OBJECT, RIGHT } from '../../abi/objects.ts';
import { FRAME_BYTES, WINDOW_BASE } from '../../base/limits.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import { usedOf } from '../account/account.ts';
import { SegmentSystem } from './segment.testing.ts';

const LIVES = Number(process.env.PERDURE_ROUNDS ?? 6);
const STEPS = 300;
const OUT = 'out of bounds memory access';
const NAMES = ['a', 'b', 'c'];
const SIZES = [1, 100, 4096, 20_000, 65_536, 70_000, 200_000];

/** Bytes by offset; the rest is zero. */
interface Segment {
  size: number;
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
  /** The window that 4 bytes at a near address lie in, where they may be touched. */
  window(domain: string, near: number, writes: boolean): Window | undefined {
    const { capabilities } = this.system.kernel.core;
    const found = this.windows.find(
      (w) => w.domain === domain && near >= w.near && near + 4 <= w.near + w.bytes,
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
    const handle = this.system.ok(domain, 'seg_create', BigInt(size));
    const blank = { size, bytes: new Map(), sealed: false, freezer: '', freezerHandle: 0 };
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
    else if (kind === 24 && prng.chance(0.3)) {
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
    } else if (kind === 27) {
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
      assert.equal(
        system.call(domain, 'get8', 512 + i),
        i < count ? (segment.bytes.get(offset + i) ?? 0) : 0,
      );
  }

  access(): void {
    const { prng, system } = this;
    const { domain, near, bytes } = prng.pick(this.windows);
    const at =
      near + prng.pick([0, 4, bytes - 4, bytes - 3, bytes, -4, prng.below(bytes), 4 * prng.below(16384)]);
    if (prng.chance(0.5)) {
      const found = this.window(domain, at, false);
      const result = system.call(domain, 'get', at);
      if (found === undefined) return assert.equal(result, OUT);
      const of = (i: number): number => found.segment.bytes.get(at - found.near + found.offset + i) ?? 0;
      return assert.equal(result, of(0) | (of(1) << 8) | (of(2) << 16) | (of(3) << 24));
    }
    const found = this.window(domain, at, true);
    const value = prng.u32() | 0;
    const result = system.call(domain, 'set', at, value);
    if (found === undefined) return assert.equal(result, OUT);
    assert.equal(result, undefined);
    for (let i = 0; i < 4; i++)
      found.segment.bytes.set(at - found.near + found.offset + i, (value >>> (8 * i)) & 255);
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
