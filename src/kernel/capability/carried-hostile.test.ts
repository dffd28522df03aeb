/** Images of domains with what they have, damaged and too large. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RESOURCE } from '../../abi/account.ts';
import { RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { OPERATION, RING_SERVES, SUBMIT, TABLE_KIND } from '../../abi/ring.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import { usedOf } from '../account/account.ts';
import { accountObject } from '../account/calls.ts';
import type { Domain } from '../domain.ts';
import type { DomainImage } from '../image.ts';
import { TestSystem } from '../kernel.testing.ts';
import { CALLER, RingUser } from '../ring/ring.testing.ts';
import { counts, domainOf, found } from './carried.testing.ts';

const ROUNDS = Number(process.env.PERDURE_ROUNDS ?? 1000);

/** A domain with some of everything, and one beside it. */
async function rich(system: TestSystem): Promise<RingUser> {
  const user = await RingUser.make(system, 'a', 8, RING_SERVES);
  const { clists, segments, windows, waits, authority } = system.kernel.core;
  const domain = domainOf(system, 'a');
  authority.grant(domain.id, { name: 'me', ...authority.domain(domain.id) });
  const friend = system.add('friend', await CALLER);
  authority.grant(domain.id, { name: 'friend', ...authority.domain(friend) });
  const segment = segments.create(domain, 150_000);
  const near = windows.map(domain, {
    ...found(system, 'a', segment),
    offset: 4096,
    bytes: 100_000,
    writable: true,
    near: 0,
  });
  system.space.setU32(segments.address(found(system, 'a', segment).object) + 4200, 77);
  segments.seal(found(system, 'a', segments.create(domain, 10)).object);
  segments.freeze(found(system, 'a', segment).object, domain, segment);
  const child = clists.derive(domain, clists.derive(domain, segment, RIGHTS_ALL, 3n), RIGHT.read, 0n);
  clists.close(domain, clists.copy(domain, child, RIGHTS_ALL));
  const table = user.call('table_create', user.handle, TABLE_KIND.generic, 3);
  const own = user.call('table_object', table, 5n, RIGHTS_ALL);
  const { core } = system.kernel;
  clists.insert(domain, core.capabilities.root(accountObject(core, domain.account)), 0, RIGHT.read);
  const abroad = user.call('table_object', table, 6n, RIGHTS_ALL);
  clists.move(domain, abroad, domainOf(system, 'friend'));
  assert.ok(waits);
  const set = found(system, 'a', waits.sets.create(domain)).object;
  for (const at of [near + 8, 64]) {
    const key = waits.places.semaphore(domain, at | 0);
    assert.ok(typeof key !== 'number');
    waits.sets.add(waits.sets.of(set), domain, key, at, 7n);
  }
  user.write(0x200, new Uint8Array(new Uint32Array([0x3000, 16, near, 16, 0x3100, 8]).buffer));
  user.submit({ op: OPERATION.timeout, user: 1n, offset: 50n, flags: SUBMIT.link });
  user.submit(
    { op: OPERATION.timeout, user: 2n, offset: 50n, flags: SUBMIT.link },
    {
      op: OPERATION.invoke,
      method: 1,
      handle: own,
      user: 3n,
      first: 0x200,
      firstLength: 3,
      second: 0x3000,
      secondLength: 20,
      flags: SUBMIT.vector,
    },
  );
  const held = clists.copy(domain, own, RIGHTS_ALL);
  // The queue of requests fills up, so that the last are not with the server yet.
  for (let i = 0; i < 7; i++) user.submit({ op: OPERATION.invoke, handle: own, user: 4n });
  user.submit({ op: OPERATION.invoke, handle: held, user: 5n, limit: 99n });
  user.completions();
  return user;
}

function* paths(value: unknown, at: (string | number)[] = []): Generator<(string | number)[]> {
  yield at;
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return;
  for (const [key, item] of Object.entries(value)) yield* paths(item, [...at, key]);
}
const JUNK = [
  undefined,
  null,
  -1,
  0,
  1,
  2,
  3,
  5,
  1.5,
  Number.NaN,
  2 ** 20,
  2 ** 40,
  'x',
  'again',
  'over',
  [],
  {},
  -5n,
  1n << 70n,
  true,
];

/** Changes one value somewhere. */
function damage(prng: Prng, image: unknown): string {
  const path = prng.pick([...paths(image)].filter(({ length }) => length > 0));
  let holder = image as Record<string | number, unknown>;
  for (const key of path.slice(0, -1)) holder = holder[key] as Record<string | number, unknown>;
  const key = path.at(-1) as string;
  const old = holder[key];
  if ((old instanceof Uint8Array || old instanceof Int32Array) && old.length > 0 && prng.chance(0.9)) {
    old[prng.below(old.length)] = prng.chance(0.5) ? prng.below(6) : prng.u32();
  } else if (typeof old === 'number' && prng.chance(0.5)) holder[key] = old + prng.pick([-1, 1, 64, 4096]);
  else if (Array.isArray(old) && old.length > 0 && prng.chance(0.7)) {
    if (prng.chance(0.5)) old.splice(prng.below(old.length), 1);
    else old.push(structuredClone(prng.pick(old)));
  } else holder[key] = prng.pick(JUNK);
  return path.join('.');
}

test('an image with anything wrong in what it has is refused or harmless, and leaves nothing behind', async () => {
  const first = seedFrom(process.env.PERDURE_SEED, Date.now());
  const prng = new Prng(first);
  const module = await CALLER;
  const system = new TestSystem();
  const image = system.kernel.exportDomain((await rich(system)).id);
  const target = new TestSystem();
  await rich(target); // others, whose objects it must not get
  const { core } = target.kernel;
  const theirs = new Set(core.objects.all());
  const use = (id: number): void => {
    const domain = core.peek(id) as Domain;
    for (const handle of core.clists.handles(domain)) {
      assert.ok(!theirs.has(core.clists.objectAt(domain, handle)), 'it has an object of others');
    }
    core.rings.work();
    target.powers.ns += 60n;
    core.rings.work();
    target.kernel.run({ maxSlices: 5 });
    target.kernel.cut();
    target.kernel.exportDomain(id);
    target.kernel.remove(id);
  };
  // Until what waits for a time is over, there too.
  for (let i = 0; i < 5; i++) use(target.kernel.importDomain(structuredClone(image), module, 'b'));
  const before = counts(target);
  let refused = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const broken = structuredClone(image);
    const where: string[] = [];
    for (let n = prng.pick([1, 1, 1, 2, 4]); n > 0; n--) {
      where.push(damage(prng, broken.belongings));
    }
    try {
      use(target.kernel.importDomain(broken as DomainImage, module, 'b'));
    } catch (error) {
      const { name, stack } = error as Error;
      const known = ['MalformedError', 'EnvironmentError', 'SpaceFullError'].includes(name);
      assert.ok(known, `PERDURE_SEED=${first} ${where.join(' ')}: ${stack}`);
      refused++;
    }
    assert.deepEqual(counts(target), before, `PERDURE_SEED=${first} round ${round}: ${where.join(' ')}`);
  }
  assert.ok(refused > ROUNDS / 4 && refused < 0.97 * ROUNDS, `${refused} refused`);
});

test('what is brought along is paid for, and refused where it is more than may be had', async () => {
  const system = new TestSystem();
  const image = system.kernel.exportDomain((await rich(system)).id);
  const module = await CALLER;
  const other = new TestSystem();
  const id = other.kernel.importDomain(structuredClone(image), module, 'a');
  const [from, to] = [domainOf(system, 'a').account, (other.kernel.core.peek(id) as Domain).account];
  // A capability to the friend stayed behind, and what was given to its server does not go on.
  for (const what of [RESOURCE.memory, RESOURCE.entries, RESOURCE.capabilities]) {
    assert.equal(usedOf(other.space, to, what), usedOf(system.space, from, what), String(what));
  }
  other.kernel.remove(id);
  const before = counts(other);
  const small = { ...image, memoryLimitBytes: 17 * 65536 };
  assert.throws(() => other.kernel.importDomain(small, module, 'a'), { code: 'over-limit' });
  assert.deepEqual(counts(other), before);
});
