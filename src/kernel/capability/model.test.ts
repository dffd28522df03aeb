import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO, errnoName } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { CAPABILITY_DEPTH_MAX } from '../../base/limits.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import type { Domain } from '../domain.ts';
import { program, TestSystem } from '../kernel.testing.ts';

const PROGRAM = program('(module (memory 1) (func (export "_start")))');

/** What capabilities are, in as few words as can be: everything by number in plain lists. */
interface Model {
  objects: { gone: boolean }[];
  caps: {
    object: number;
    parent: number;
    parentTurn: number;
    turn: number;
    rights: number;
    badge: bigint;
    depth: number;
  }[];
  /** By domain, by handle. */
  lists: Map<number, Map<number, Slot>>;
}
interface Slot {
  cap: number;
  turn: number;
  rights: number;
  /** The errno with which it was found dead. */
  dead: number;
}

function check(model: Model, slot: Slot): number {
  if (slot.dead !== 0) return slot.dead;
  const cap = model.caps[slot.cap]!;
  if (cap.turn !== slot.turn) return ERRNO.REVOKED;
  for (let at = cap; at.parent >= 0; at = model.caps[at.parent]!) {
    if (model.caps[at.parent]!.turn !== at.parentTurn) return ERRNO.REVOKED;
  }
  return model.objects[cap.object]!.gone ? ERRNO.GONE : 0;
}

class Play {
  readonly system = new TestSystem();
  readonly prng: Prng;
  model: Model = { objects: [], caps: [], lists: new Map() };
  /** Addresses of the model's objects, good as long as one of them is held. */
  addresses: number[] = [];
  kept: { model: Model; addresses: number[] } = { model: this.model, addresses: [] };
  seen = new Map<string, number>();

  constructor(prng: Prng) {
    this.prng = prng;
  }
  get core() {
    return this.system.kernel.core;
  }
  domain(id: number): Domain {
    const domain = this.core.peek(id);
    assert.ok(domain);
    return domain;
  }
  pickDomain(): number {
    return this.prng.pick([...this.model.lists.keys()]);
  }
  /** Mostly one that is there, sometimes one that was closed, or none at all. */
  pickHandle(id: number): number {
    const handles = [...this.model.lists.get(id)!.keys()];
    if (handles.length === 0 || this.prng.chance(0.05)) return this.prng.below(2 ** 31);
    const handle = this.prng.pick(handles);
    return this.prng.chance(0.05) ? handle + 2 ** 20 : handle;
  }

  /** What the model says of a handle; it notes what is found dead, as the kernel does. */
  find(id: number, handle: number, rights: number): Slot | number {
    const slot = this.model.lists.get(id)!.get(handle);
    if (slot === undefined) return -ERRNO.BADF;
    slot.dead = check(this.model, slot);
    if (slot.dead !== 0) return -slot.dead;
    return (slot.rights & rights) === rights ? slot : -ERRNO.NOTCAPABLE;
  }
  same(what: string, got: number, want: number): void {
    const told = want < 0 ? errnoName(-want) : 'ok';
    this.seen.set(`${what} ${told}`, (this.seen.get(`${what} ${told}`) ?? 0) + 1);
    if (want < 0) assert.equal(errnoName(-got), errnoName(-want), what);
    else assert.ok(got >= 0, `${what}: ${errnoName(-got)}`);
  }
  took(id: number, handle: number, slot: Omit<Slot, 'dead'>): void {
    assert.ok(!this.model.lists.get(id)!.has(handle), 'a handle is given once while it is open');
    this.model.lists.get(id)!.set(handle, { ...slot, dead: 0 });
  }

  make(): void {
    const id = this.pickDomain();
    const handle = this.core.clists.make(this.domain(id), OBJECT.table, this.model.objects.length);
    const found = this.core.clists.find(this.domain(id), handle);
    assert.ok(typeof found !== 'number');
    this.addresses.push(found.object);
    const cap = this.model.caps.push({
      ...{ object: this.model.objects.push({ gone: false }) - 1, parent: -1, parentTurn: 0, turn: 0 },
      ...{ rights: RIGHTS_ALL, badge: 0n, depth: 0 },
    });
    this.took(id, handle, { cap: cap - 1, turn: 0, rights: RIGHTS_ALL });
  }
  copy(): void {
    const [id, rights] = [this.pickDomain(), this.prng.below(256) | this.prng.below(256)];
    const handle = this.pickHandle(id);
    const slot = this.find(id, handle, 0);
    const got = this.core.clists.copy(this.domain(id), handle, rights);
    this.same('copy', got, typeof slot === 'number' ? slot : 0);
    if (typeof slot !== 'number') this.took(id, got, { ...slot, rights: slot.rights & rights });
  }
  pass(move: boolean): void {
    const [id, to] = [this.pickDomain(), this.pickDomain()];
    const handle = this.pickHandle(id);
    const slot = this.find(id, handle, RIGHT.share);
    const { clists } = this.core;
    const got = move
      ? clists.move(this.domain(id), handle, this.domain(to))
      : clists.pass(this.domain(id), handle, this.domain(to), RIGHTS_ALL);
    this.same(move ? 'move' : 'pass', got, typeof slot === 'number' ? slot : 0);
    if (typeof slot === 'number') return;
    if (move) this.model.lists.get(id)!.delete(handle);
    this.took(to, got, { ...slot, rights: move ? slot.rights : slot.rights & ~RIGHT.revoke });
  }
  derive(): void {
    const [id, rights] = [this.pickDomain(), this.prng.below(256) | RIGHT.derive | RIGHT.share];
    const handle = this.pickHandle(id);
    const badge = BigInt(this.prng.below(3));
    let slot = this.find(id, handle, RIGHT.derive);
    const parent = typeof slot === 'number' ? null : this.model.caps[slot.cap]!;
    if (parent !== null && badge !== 0n && parent.badge !== 0n) slot = -ERRNO.NOTCAPABLE;
    else if (parent !== null && parent.depth === CAPABILITY_DEPTH_MAX) slot = -ERRNO.DEPTH;
    const got = this.core.clists.derive(this.domain(id), handle, rights, badge);
    this.same('derive', got, typeof slot === 'number' ? slot : 0);
    if (typeof slot === 'number') return;
    const mine = (slot.rights & rights) | RIGHT.revoke;
    const cap = this.model.caps.push({
      ...{ object: parent!.object, parent: slot.cap, parentTurn: slot.turn, turn: 0 },
      ...{ rights: mine, badge: badge === 0n ? parent!.badge : badge, depth: parent!.depth + 1 },
    });
    this.took(id, got, { cap: cap - 1, turn: 0, rights: mine });
  }
  revoke(): void {
    const id = this.pickDomain();
    const handle = this.pickHandle(id);
    const slot = this.find(id, handle, RIGHT.revoke);
    this.same(
      'revoke',
      this.core.clists.revoke(this.domain(id), handle),
      typeof slot === 'number' ? slot : 0,
    );
    if (typeof slot !== 'number') slot.turn = this.model.caps[slot.cap]!.turn += 1;
  }
  close(): void {
    const id = this.pickDomain();
    const handle = this.pickHandle(id);
    const there = this.model.lists.get(id)!.delete(handle);
    this.same('close', this.core.clists.close(this.domain(id), handle), there ? 0 : -ERRNO.BADF);
  }
  destroy(): void {
    const id = this.pickDomain();
    const slot = this.find(id, this.pickHandle(id), 0);
    if (typeof slot === 'number') return;
    const { object } = this.model.caps[slot.cap]!;
    this.core.objects.destroy(this.addresses[object]!);
    this.model.objects[object]!.gone = true;
  }
  look(): void {
    const id = this.pickDomain();
    const handle = this.pickHandle(id);
    const rights = this.prng.chance(0.5) ? 0 : 1 << this.prng.below(8);
    const slot = this.find(id, handle, rights);
    const found = this.core.clists.find(this.domain(id), handle, rights);
    this.same('find', typeof found === 'number' ? found : 0, typeof slot === 'number' ? slot : 0);
    if (typeof slot === 'number' || typeof found === 'number') return;
    const cap = this.model.caps[slot.cap]!;
    assert.deepEqual(
      [found.rights, found.badge, this.core.objects.a(found.object)],
      [slot.rights, cap.badge, cap.object],
    );
  }
  domains(module: Awaited<typeof PROGRAM>): void {
    if (this.model.lists.size > 1 && this.prng.chance(0.5)) {
      const id = this.pickDomain();
      this.system.kernel.remove(id);
      this.model.lists.delete(id);
    } else if (this.model.lists.size < 5) {
      const name = `d${this.model.lists.size}-${this.prng.below(1e9)}`;
      this.model.lists.set(this.system.add(name, module), new Map());
    }
  }
  checkpoint(): void {
    this.system.checkpoint();
    this.kept = structuredClone({ model: this.model, addresses: this.addresses });
  }
  crash(): void {
    this.system.crash();
    ({ model: this.model, addresses: this.addresses } = structuredClone(this.kept));
  }
}

test('any sequence of copies, derivations, revocations, ends and crashes is what a simple model says', async () => {
  const module = await PROGRAM;
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const seen = new Map<string, number>();
  for (let life = 0; life < 8; life++) {
    const play = new Play(new Prng(seed + life));
    play.seen = seen;
    const { prng } = play;
    for (const name of ['a', 'b', 'c']) play.model.lists.set(play.system.add(name, module), new Map());
    play.checkpoint();
    for (let step = 0; step < 1500; step++) {
      const act = prng.below(100);
      if (act < 8) play.make();
      else if (act < 22) play.copy();
      else if (act < 36) play.pass(act < 24);
      else if (act < 56) play.derive();
      else if (act < 59) play.revoke();
      else if (act < 68) play.close();
      else if (act < 69) play.destroy();
      else if (act < 96) play.look();
      else if (act < 97) play.domains(module);
      else if (act < 98) play.checkpoint();
      else if (act < 99 && prng.chance(0.3)) play.crash();
      for (const [id, list] of play.model.lists) {
        if (step % 50 === 0) assert.equal(play.core.clists.count(play.domain(id)), list.size);
      }
    }
    // In the end everything is given back: no object, no record, and of the heap no more than domains take.
    for (const id of [...play.model.lists.keys()]) play.system.kernel.remove(id);
    assert.deepEqual([play.core.capabilities.count, play.core.objects.count], [0, 0]);
    const { heap } = play.system.space;
    const blocks = ['one', 'two'].map((name) => {
      const id = play.system.add(name, module);
      for (let i = 0; i < 100; i++) play.core.clists.make(play.domain(id), OBJECT.table);
      play.system.kernel.remove(id);
      return heap.blockCount;
    });
    assert.equal(blocks[1], blocks[0], 'heap blocks');
  }
  for (const what of ['copy', 'pass', 'derive', 'find']) {
    for (const told of ['ok', 'REVOKED', 'GONE', 'BADF'])
      assert.ok(seen.has(`${what} ${told}`), `${what} ${told}`);
  }
});
