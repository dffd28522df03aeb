import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHTS_ALL } from '../../abi/objects.ts';
import { OPERATION, OPTIONS_ALL, RING_SERVES, SUBMIT, TABLE_KIND } from '../../abi/ring.ts';
import { WINDOW_BASE } from '../../base/limits.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import { FakePorts } from '../../personalities/wasi/ports.testing.ts';
import type { Domain } from '../domain.ts';
import { TestSystem } from '../kernel.testing.ts';
import { Tree } from '../tree.ts';
import { CALLER, RingUser, type Submission } from './ring.testing.ts';
import { Ring } from './ring.ts';
import { SIZE, Window } from './window.testing.ts';

const op = OPERATION;
const RING_AT = 0x1000;

test('a header that was destroyed is an error to the domain that did it, and to nobody else', async () => {
  const system = new TestSystem();
  const [a, b] = [await RingUser.make(system, 'a', 8), await RingUser.make(system, 'b', 8)];
  a.submit({ op: op.timeout, user: 1n, offset: 1000n });
  for (const word of ['submissionTail', 'completionHead'] as const) {
    const before = a.header(word);
    for (const value of [0x7fff_ffff, before + 100]) {
      a.setHeader(word, value);
      assert.equal(a.enter(1), -ERRNO.BADMSG);
      assert.equal(b.run({ op: op.nop }).result, 0);
    }
    a.setHeader(word, before);
  }
  // What the kernel wrote there it does not read.
  for (const word of ['version', 'entries', 'flags', 'submissionHead', 'completionTail'] as const) {
    a.setHeader(word, 0xdead_beef);
  }
  a.setHeader('submissionTail', 2);
  assert.equal(a.enter(1), 1);
  assert.equal(a.header('submissionHead'), 2);
  // A completion waits while the program says that there is no room.
  a.setHeader('completionHead', 0x4000_0000);
  system.powers.ns += 1000n;
  system.kernel.run();
  a.setHeader('completionHead', 0);
  assert.equal(a.enter(), 0);
  assert.equal(a.header('waiting'), 0);
  assert.equal(a.header('completionTail'), 2);
});

test('what changes while it is read, or after, changes nothing', async () => {
  const system = new TestSystem();
  const user = await RingUser.make(system, 'a', 8);
  const tree = Tree.open(system.space, 0n);
  const file = tree.createFile(tree.root, new TextEncoder().encode('f'), 0n);
  const { core } = system.kernel;
  const handle = system.kernel.authority.grant(user.id, { name: 'f', ...core.nodes.capability(file) });
  user.write(0x6000, 'right');
  user.write(0x6100, 'wrong');
  user.write(0x5000, new Uint8Array(new Uint32Array([0x6000, 5, 0x6000, 0]).buffer));
  const { base } = user;
  const copy = Ring.prototype.copy;
  const read = DataView.prototype.getUint32;
  const seen = new Map<number, number>();
  Ring.prototype.copy = function (i: number): boolean {
    const there = copy.call(this, i);
    system.space.u8.fill(0xff, base + RING_AT + 128, base + RING_AT + 128 + 8 * 64);
    return there;
  };
  // Each word of the list of buffers is another one the next time that somebody looks.
  DataView.prototype.getUint32 = function (at: number, little?: boolean): number {
    const value = read.call(this, at, little);
    if (at >= base + 0x5000 && at < base + 0x5010 && this.buffer === system.space.memory.buffer) {
      seen.set(at, (seen.get(at) ?? 0) + 1);
      this.setUint32(at, 0xffff_fff0, true);
    }
    return value;
  };
  try {
    const write = { op: op.write, handle, first: 0x5000, firstLength: 2, flags: SUBMIT.vector };
    assert.equal(user.run(write).result, 5);
  } finally {
    Ring.prototype.copy = copy;
    DataView.prototype.getUint32 = read;
  }
  assert.deepEqual([...seen.values()], [1, 1, 1, 1]);
  const bytes = system.space.segments.readBytes(tree.segment(file), 0, 10);
  assert.equal(new TextDecoder().decode(bytes), 'right');
});

const wide = (prng: Prng): bigint => (BigInt(prng.u32()) << 32n) | BigInt(prng.u32());

/** Two programs at random: one serves, both ask, with whatever in their rings. */
class Chaos {
  readonly system = new TestSystem({ ports: new FakePorts() });
  readonly #prng: Prng;
  users: RingUser[] = [];

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  async begin(): Promise<void> {
    const { system } = this;
    const server = await RingUser.make(system, 'server', 8, RING_SERVES);
    const client = await RingUser.make(system, 'client', 16, RING_SERVES);
    this.users = [server, client];
    const { core } = system.kernel;
    const quiet = core.peek(system.add('quiet', await CALLER, { resident: true }));
    assert.ok(quiet);
    const base = quiet.addressOf(0);
    for (let i = 0; i < 16 * 65536; i += 4) system.space.setU32(base + i, i ^ 0x5a5a5a5a);
    const tree = Tree.open(system.space, 0n);
    for (const user of this.users) {
      for (const [name, held] of Object.entries({
        root: core.nodes.capability(tree.root),
        in: core.hosts.capability({ kind: 'stream', domain: user.id, which: 0 }),
        out: core.hosts.capability({ kind: 'stream', domain: user.id, which: 1 }),
        clock: core.hosts.capability({ kind: 'clock' }),
        random: core.hosts.capability({ kind: 'random' }),
      })) {
        system.kernel.authority.grant(user.id, { name, ...held, rights: RIGHTS_ALL });
      }
      for (const kind of Object.values(TABLE_KIND)) {
        const table = user.call('table_create', user.handle, kind, 4);
        const object = user.call('table_object', table, BigInt(kind), RIGHTS_ALL);
        const [from, to] = [core.peek(user.id), core.peek((user === server ? client : server).id)];
        assert.ok(from && to);
        core.clists.pass(from, object, to, RIGHTS_ALL);
      }
      const set = user.call('waitset_create');
      user.call('waitset_add', set, 0x6000, 5n);
      core.segments.create(core.peek(user.id) as Domain, 70_000);
      new Window(user);
    }
  }

  #handle(user: RingUser): number {
    const { core } = this.system.kernel;
    const domain = core.peek(user.id);
    assert.ok(domain);
    const handles = [...core.clists.handles(domain)];
    const served = handles.filter((handle) => {
      const object = core.clists.objectAt(domain, handle);
      return object !== 0 && core.objects.kind(object) === OBJECT.served;
    });
    if (served.length > 0 && this.#prng.chance(0.4)) return this.#prng.pick(served);
    return this.#prng.chance(0.9) ? this.#prng.pick(handles) : this.#prng.below(2 ** 31);
  }

  #submission(user: RingUser): Submission {
    const prng = this.#prng;
    const number = (): number =>
      prng.chance(0.7)
        ? prng.below(0x10000)
        : prng.chance(0.5)
          ? prng.below(2 ** 32)
          : 16 * 65536 - prng.below(64);
    const near = (): number => (prng.chance(0.8) ? number() : WINDOW_BASE + 0x10000 + prng.below(SIZE));
    const small = (): number => (prng.chance(0.9) ? prng.below(300) : prng.below(2 ** 32));
    const big = (): bigint => {
      const kinds = [0n, BigInt(prng.below(50)), 2n ** 64n - 1n - BigInt(prng.below(3)), wide(prng)];
      return prng.pick(kinds);
    };
    const drawn = prng.chance(0.98) ? prng.below(21) : prng.below(256);
    const anyFlags = prng.chance(0.6) ? 0 : prng.below(prng.chance(0.9) ? 32 : 256);
    // What waits for everything, or for ever, is the end of most stories.
    const flags = prng.chance(0.9) ? anyFlags & ~SUBMIT.drain : anyFlags;
    const isTimeout = drawn === op.timeout && prng.chance(0.95);
    const brings = (flags & SUBMIT.segment) !== 0 && prng.chance(0.9);
    return {
      // Closed handles end the story early.
      op: drawn === op.close && prng.chance(0.9) ? op.read : drawn,
      flags,
      method: prng.below(5),
      handle: drawn === op.wait && prng.chance(0.3) ? 0 : this.#handle(user),
      user: BigInt(prng.below(20)),
      first: brings ? this.#handle(user) : drawn === op.wait ? 0x6000 : near(),
      firstLength: small(),
      offset: isTimeout ? BigInt(prng.below(300)) : big(),
      limit: prng.chance(0.3) ? 0n : BigInt(prng.below(100)),
      second: brings ? prng.below(80_000) : near(),
      secondLength: brings ? 0 : small(),
      other: prng.chance(0.7) ? 0 : prng.chance(0.8) ? this.#handle(user) : prng.below(20),
      rights: prng.chance(0.5) ? 0 : prng.below(256),
      options: prng.chance(0.9) ? prng.below(OPTIONS_ALL + 1) : prng.below(2 ** 32),
    };
  }

  step(): void {
    const prng = this.#prng;
    const { system } = this;
    const user = prng.pick(this.users);
    const act = prng.below(100);
    if (prng.chance(0.3)) user.clear();
    if (act < 50) {
      for (let i = prng.below(6); i >= 0; i--) user.push(this.#submission(user));
    } else if (act < 55) {
      // Garbage, anywhere in the ring.
      for (let i = 0; i < 20; i++)
        system.space.setU8(user.base + RING_AT + prng.below(9000), prng.below(256));
      for (const word of ['submissionTail', 'completionHead', 'requestHead'] as const) {
        if (prng.chance(0.3)) user.setHeader(word, prng.chance(0.5) ? prng.below(2 ** 32) : prng.below(20));
      }
    } else if (act < 65) {
      user.completions();
    } else if (act < 75) {
      for (const request of user.requests().slice(0, 20)) {
        user.call('request_read', request.number, prng.below(300), prng.below(2 ** 20), prng.below(5000));
        user.call('request_write', request.number, prng.below(300), prng.below(2 ** 20), prng.below(5000));
        if (prng.chance(0.5)) user.call('request_take', request.number, prng.below(3));
        if (prng.chance(0.8)) {
          const other = prng.chance(0.3) ? this.#handle(user) : 0;
          const rights = prng.chance(0.7) ? prng.below(300) : prng.below(2 ** 32);
          user.push({
            op: op.reply,
            offset: request.number,
            rights,
            other,
            first: 0x5000,
            firstLength: prng.below(300),
          });
        }
      }
    } else if (act < 77) {
      const at = user.base + 0x6000;
      system.space.setU32(at, system.space.view.getUint32(at, true) + prng.below(3));
      user.call('sem_wake', 0x6000);
    } else if (act < 80) {
      user.call('request_read', wide(prng), 0, 0, 100);
      user.call('table_object', this.#handle(user), wide(prng), prng.below(300));
      user.call('ring_create', prng.below(2 ** 20) & ~63, 2 ** prng.below(6), prng.below(3));
    } else if (act < 84) {
      system.powers.ns += BigInt(prng.below(100));
      system.kernel.wake(user.id);
      system.kernel.run();
    } else if (act < 86) {
      system.checkpoint();
      system.crash();
      system.kernel.run();
    } else if (act < 87) {
      system.kernel.relocate(user.id);
    }
    const result = user.enter(prng.below(20));
    assert.ok(Number.isInteger(result));
  }
}

/** A copy of all that is not the programs' own and must not change by what they do: another domain's memory. */
function untouched(chaos: Chaos): void {
  const { system } = chaos;
  const quiet = system.kernel.core.peek(system.kernel.find('quiet'));
  assert.ok(quiet);
  const { u32 } = system.space;
  const base = quiet.addressOf(0) / 4;
  for (let i = 0; i < 16 * 65536; i += 4) {
    if (u32[base + i / 4] !== (i ^ 0x5a5a5a5a) >>> 0) throw new Error(`changed at ${i}`);
  }
}

test('whatever is in a ring, nothing but that domain is touched, and nothing of it stays', async () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const prng = new Prng(seed);
  for (let life = 0; life < 8; life++) {
    const chaos = new Chaos(prng);
    await chaos.begin();
    const { system } = chaos;
    for (let step = 0; step < 400; step++) chaos.step();
    untouched(chaos);
    for (const id of system.kernel.ids()) system.kernel.remove(id);
    const { rings, objects, capabilities } = system.kernel.core;
    assert.deepEqual([rings.count, rings.table.rings.size, rings.tables.count], [0, 0, 0]);
    assert.deepEqual([objects.count, capabilities.count, system.kernel.core.waits?.count], [0, 0, 0]);
  }
});
