/** What requests bring: segments and other capabilities that a server takes when it wants them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import {
  BROUGHT_MAX,
  OPERATION,
  OPTION,
  REQUEST_CANCELED,
  RING_SERVES,
  SUBMIT,
  TABLE_KIND,
} from '../../abi/ring.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import { FakePorts } from '../../personalities/wasi/ports.testing.ts';
import { TestSystem } from '../kernel.testing.ts';
import { Tree } from '../tree.ts';
import { type Request, RingUser } from './ring.testing.ts';
import { domainOf } from './window.testing.ts';

const op = OPERATION;
const MIB = 1 << 20;
const [IN, OUT] = [0x7000, 0x8000];
const { read, write, map, share, revoke } = RIGHT;

/** A server of a table, and a client with an object of it and a segment of 1 MiB and a page. */
async function pair(kind: number = TABLE_KIND.stream, more: { server?: object; client?: object } = {}) {
  const system = new TestSystem({ ports: new FakePorts() });
  const server = await RingUser.make(system, 'server', 8, RING_SERVES, more.server);
  const client = await RingUser.make(system, 'client', 64, 0, more.client);
  const { clists, segments } = system.kernel.core;
  const table = server.call('table_create', server.handle, kind, 10);
  const made = server.call('table_object', table, 7n, RIGHTS_ALL);
  const handle = clists.pass(domainOf(server), made, domainOf(client), RIGHTS_ALL);
  const segment = segments.create(domainOf(client), MIB + 4096);
  /** A segment's bytes, by a handle of whoever has it. */
  const at = (user: RingUser, of: number): number => {
    const { core } = user.system.kernel;
    return core.segments.address(core.clists.objectAt(domainOf(user), of));
  };
  const bring = { handle, first: segment, firstLength: MIB, second: 4096, flags: SUBMIT.segment };
  const ask = (s: object): Request => {
    client.submit({ op: op.write, user: 1n, ...bring, ...s });
    const [request] = server.requests();
    assert.ok(request);
    return request;
  };
  const take = (request: Request, which = 0): number => server.call('request_take', request.number, which);
  const reply = (request: Request, result: number): void => {
    server.submit({ op: op.reply, offset: request.number, rights: result, flags: SUBMIT.quiet });
  };
  return { system, server, client, handle, segment, at, bring, ask, take, reply };
}
/** What rights a handle of a program gives at the moment, or -errno. */
const rightsOf = (user: RingUser, handle: number): number => {
  const found = user.system.kernel.core.clists.find(domainOf(user), handle);
  return typeof found === 'number' ? found : found.rights;
};
/** Maps all of a segment into a program. */
function mapped(user: RingUser, handle: number, writable: boolean): number {
  const { core } = user.system.kernel;
  const found = core.clists.find(domainOf(user), handle);
  assert.ok(typeof found !== 'number');
  const wanted = { ...found, offset: 0, bytes: MIB + 4096, writable, near: 0 };
  return core.windows.map(domainOf(user), wanted);
}
const reaches = (user: RingUser, near: number, writes: boolean): boolean =>
  user.system.kernel.core.windows.resolve(domainOf(user), near, 1, writes) >= 0;
const counts = ({ kernel: { core } }: TestSystem, ...users: RingUser[]): number[] => [
  core.capabilities.count,
  core.rings.count,
  ...users.map((user) => core.clists.count(domainOf(user))),
];

test('a server has 1 MiB of its client before it, where it lies, until it has answered', async () => {
  for (const crash of [false, true]) {
    const { system, server, client, segment, at, ask, take, reply } = await pair();
    const before = counts(system, server, client);
    system.space.writeBytes(at(client, segment) + 4096, new Uint8Array(MIB).fill(7));
    const request = ask({});
    assert.deepEqual([request.given, request.other, request.brought], [MIB, 4096n, 1]);
    const lent = take(request);
    assert.equal(rightsOf(server, lent), read | map | share);
    assert.equal(at(server, lent), at(client, segment), 'the same bytes');
    const near = mapped(server, lent, false);
    assert.equal(mapped(server, lent, true), -ERRNO.NOTCAPABLE);
    system.checkpoint();
    if (crash) system.crash();
    const here = system.kernel.core.windows.resolve(domainOf(server), near + 4096, MIB, false);
    assert.ok(system.space.u8.subarray(here, here + MIB).every((byte) => byte === 7));
    reply(request, MIB);
    assert.deepEqual(client.results(), { 1: MIB });
    assert.equal(rightsOf(server, lent), -ERRNO.BADF);
    assert.ok(!reaches(server, near, false));
    assert.equal(system.kernel.core.windows.count, 0);
    assert.deepEqual(counts(system, server, client), before);
  }
});

test('what is to be read is filled where it lies', async () => {
  const { system, server, client, segment, at, ask, take, reply } = await pair();
  const request = ask({ op: op.read });
  assert.deepEqual([request.room, request.given, request.other], [MIB, 0, 4096n]);
  const lent = take(request);
  assert.equal(rightsOf(server, lent), read | write | map | share);
  const near = mapped(server, lent, true);
  const here = system.kernel.core.windows.resolve(domainOf(server), near + 4096, MIB, true);
  system.space.u8.fill(9, here, here + MIB);
  reply(request, MIB);
  assert.deepEqual(client.results(), { 1: MIB });
  const bytes = system.space.u8.subarray(at(client, segment) + 4095, at(client, segment) + 4096 + MIB);
  assert.deepEqual([bytes[0], bytes[1], bytes[MIB]], [0, 9, 9]);
  assert.ok(!reaches(server, near, true));
});

test('a server that knows nothing of segments copies as ever', async () => {
  const { system, server, client, segment, at, ask, reply } = await pair();
  system.space.writeBytes(at(client, segment) + 4096, new TextEncoder().encode('hello world'));
  const request = ask({ firstLength: 1000 });
  assert.equal(new TextDecoder().decode(request.data.subarray(0, 11)), 'hello world');
  assert.equal(server.call('request_read', request.number, 6, OUT, 5), 5);
  assert.equal(server.text(OUT, 5), 'world');
  reply(request, 1000);
  const other = ask({ op: op.read, firstLength: 8 });
  server.write(OUT, 'from the server');
  assert.equal(server.call('request_write', other.number, 2, OUT, 15), 6);
  server.submit({ op: op.reply, offset: other.number, rights: 8, first: OUT, firstLength: 2 });
  assert.deepEqual(client.results(), { 1: 8 });
  assert.equal(system.space.u8[at(client, segment) + 4096], 'f'.charCodeAt(0));
  assert.equal(
    new TextDecoder().decode(system.space.readBytes(at(client, segment) + 4096, 11)),
    'frfrom trld',
  );
});

test('a segment that is revoked in the middle is gone for the server, which gets an errno', async () => {
  const { system, server, client, segment, bring, ask, take } = await pair();
  const derived = client.call('cap_derive', segment, RIGHTS_ALL, 0n);
  const request = ask({ first: derived });
  const lent = take(request);
  const near = mapped(server, lent, false);
  assert.ok(reaches(server, near, false));
  assert.equal(client.call('cap_revoke', derived), 0);
  assert.equal(rightsOf(server, lent), -ERRNO.REVOKED);
  assert.ok(!reaches(server, near, false));
  assert.equal(client.call('cap_close', derived), 0);
  // Who reads by the request hears that there is none any more, and the client why.
  assert.equal(server.call('request_read', request.number, 0, OUT, 8), -ERRNO.NOENT);
  assert.deepEqual(client.results(), { 1: -ERRNO.BADF });
  assert.equal(rightsOf(server, lent), -ERRNO.BADF);
  // Before it was taken.
  server.requests();
  client.submit({
    op: op.write,
    user: 2n,
    ...bring,
    first: client.call('cap_derive', segment, RIGHTS_ALL, 0n),
  });
  const [second] = server.requests();
  assert.ok(second);
  assert.equal(client.call('cap_revoke', segment), 0);
  assert.equal(take(second), -ERRNO.REVOKED);
  assert.equal(system.kernel.core.windows.count, 0);
});

test('it ends with the request, whoever dies, and wherever it was passed on to', async () => {
  const ends: [string, (p: Awaited<ReturnType<typeof pair>>, request: Request) => void][] = [
    ['server dies', ({ system, server }) => system.kernel.remove(server.id)],
    ['client dies', ({ system, client }) => system.kernel.remove(client.id)],
    ['cancel', ({ client }) => client.submit({ op: op.cancel, offset: 1n, user: 2n })],
    ['ring closed', ({ client }) => client.call('cap_close', client.handle)],
    ['server ring closed', ({ server }) => server.call('cap_close', server.handle)],
    [
      'time',
      ({ system }) => {
        system.powers.ns += 1000n;
        system.runAll();
      },
    ],
    ['answer', ({ reply }, request) => reply(request, 1)],
    [
      'answer by one that had a crash',
      ({ system, reply }, request) => {
        system.checkpoint();
        system.crash();
        reply(request, 1);
      },
    ],
  ];
  for (const [how, end] of ends) {
    const all = await pair();
    const { system, server, ask, take } = all;
    const third = await RingUser.make(system, 'third');
    const request = ask({ limit: 1000n });
    const lent = take(request);
    const { clists } = system.kernel.core;
    const passed = clists.pass(domainOf(server), lent, domainOf(third), RIGHTS_ALL);
    const near = mapped(third, passed, false);
    assert.ok(reaches(third, near, false), how);
    end(all, request);
    assert.equal(rightsOf(third, passed), -ERRNO.REVOKED, how);
    assert.ok(!reaches(third, near, false), how);
    const { core } = system.kernel;
    if (core.peek(server.id) !== undefined) {
      assert.equal(rightsOf(server, lent), -ERRNO.BADF, how);
      const told = how === 'cancel' || how === 'client dies' || how === 'ring closed' || how === 'time';
      if (told)
        assert.deepEqual(
          server.requests().map((each) => each.op),
          [REQUEST_CANCELED],
          how,
        );
    }
    for (const user of [all.client, server, third])
      if (core.peek(user.id) !== undefined) system.kernel.remove(user.id);
    assert.deepEqual(counts(system), [0, 0], how);
  }
});

test('what a client brings costs a server nothing until it takes it, and then no more than it may have', async () => {
  const { system, server, client, bring, take } = await pair(TABLE_KIND.stream, {
    server: { limits: { capabilities: 14 } },
  });
  const before = system.kernel.core.clists.count(domainOf(server));
  const flood = Array.from({ length: 60 }, (_, i) => ({ op: op.write, user: BigInt(i), ...bring }));
  assert.equal(client.submit(...flood), 60);
  assert.equal(system.kernel.core.clists.count(domainOf(server)), before);
  const requests = server.requests();
  const taken = requests.map((request) => take(request));
  const good = taken.filter((handle) => handle > 0);
  assert.ok(good.length > 0 && good.length < 8);
  for (const refused of taken.slice(good.length)) assert.equal(refused, -ERRNO.DQUOT);
  const [first] = requests;
  assert.ok(first);
  assert.equal(take(first), -ERRNO.EXIST);
  assert.equal(take(first, 1), -ERRNO.INVAL);
  assert.equal(take(first, -1), -ERRNO.INVAL);
  assert.equal(server.call('request_take', 12345n, 0), -ERRNO.NOENT);
  assert.equal(client.call('request_take', first.number, 0), -ERRNO.NOENT, 'it is not its request');
  server.call('cap_close', taken[0] as number);
  assert.equal(take(first), -ERRNO.EXIST);
  for (const { number } of requests) server.submit({ op: op.reply, offset: number, flags: SUBMIT.quiet });
  assert.equal(client.completions().length, 8);
  assert.equal(system.kernel.core.clists.count(domainOf(server)), before);
});

test('rights: what may not be shared is not lent, what may not be read or written is no buffer', async () => {
  const { system, server, client, segment, bring, ask, take, reply } = await pair();
  const less = (rights: number): number => client.call('cap_copy', segment, RIGHTS_ALL & ~rights);
  const closed = ask({ first: less(share) });
  assert.equal(take(closed), -ERRNO.NOTCAPABLE);
  assert.equal(server.call('request_read', closed.number, 0, OUT, 8), 8, 'but copied it can be');
  reply(closed, 0);
  const unmapped = ask({ first: less(map | revoke) });
  assert.equal(rightsOf(server, take(unmapped)), read | share);
  reply(unmapped, 0);
  client.completions();
  const errno = (s: object): number => -client.run({ op: op.write, ...bring, ...s }).result;
  assert.equal(errno({ first: less(read) }), ERRNO.NOTCAPABLE);
  assert.equal(errno({ op: op.read, first: less(write) }), ERRNO.NOTCAPABLE);
  assert.equal(errno({ second: 4097 }), ERRNO.INVAL);
  assert.equal(errno({ second: 0, secondLength: 1 }), ERRNO.INVAL);
  assert.equal(errno({ secondLength: 0xffff_ffff }), ERRNO.INVAL);
  assert.equal(errno({ first: 0 }), ERRNO.BADF);
  assert.equal(errno({ first: client.handle }), ERRNO.INVAL);
  assert.equal(errno({ flags: SUBMIT.segment | SUBMIT.vector }), ERRNO.INVAL);
  assert.equal(errno({ op: op.describe }), ERRNO.INVAL);
  assert.equal(errno({ op: op.invoke }), ERRNO.INVAL);
  const { segments, clists } = system.kernel.core;
  segments.seal(clists.objectAt(domainOf(client), segment));
  assert.equal(errno({ op: op.read }), ERRNO.ROFS);
  assert.equal(take(ask({})) > 0, true);
});

test('files, streams and segments take bytes of a segment as they take any', async () => {
  const { system, client, segment, at, bring } = await pair();
  const { core } = system.kernel;
  const tree = Tree.open(system.space, 0n);
  const node = tree.createFile(tree.root, new TextEncoder().encode('f'), 0n);
  const file = system.kernel.authority.grant(client.id, { name: 'f', ...core.nodes.capability(node) });
  const out = system.kernel.authority.grant(client.id, {
    name: 'o',
    ...core.hosts.capability({ kind: 'stream', domain: client.id, which: 1 }),
  });
  const say = (offset: number, text: string): void =>
    system.space.writeBytes(at(client, segment) + offset, new TextEncoder().encode(text));
  say(4096, 'straight');
  const some = { ...bring, firstLength: 8 };
  assert.equal(client.run({ op: op.write, ...some, handle: file }).result, 8);
  assert.equal(client.run({ op: op.read, ...some, handle: file, second: 100 }).result, 8);
  assert.equal(new TextDecoder().decode(system.space.readBytes(at(client, segment) + 100, 8)), 'straight');
  assert.equal(client.run({ op: op.write, ...some, handle: out }).result, 8);
  assert.equal((core.ports as FakePorts).stdout.text(), 'straight');
  // From a segment to another, and within one; a copy of it keeps what it had.
  const copy = core.segments.copy(domainOf(client), core.clists.objectAt(domainOf(client), segment));
  assert.equal(client.run({ op: op.read, ...some, handle: copy, second: 200, offset: 4096n }).result, 8);
  assert.equal(client.run({ op: op.write, ...some, handle: segment, offset: 4098n }).result, 8);
  assert.equal(
    new TextDecoder().decode(system.space.readBytes(at(client, segment) + 4096, 10)),
    'ststraight',
  );
  assert.equal(new TextDecoder().decode(system.space.readBytes(at(client, segment) + 200, 8)), 'straight');
  assert.equal(new TextDecoder().decode(system.space.readBytes(at(client, copy) + 4096, 8)), 'straight');
  assert.equal(client.run({ op: op.read, ...some, handle: copy, firstLength: 0, offset: 0n }).result, 0);
});

test('invoke brings capabilities, of which the server takes copies; or they are lent', async () => {
  const { system, server, client, handle, segment, take, reply } = await pair(TABLE_KIND.generic);
  const words = (...list: number[]): object => ({
    first: IN,
    firstLength: client.write(IN, new Uint8Array(new Uint32Array(list).buffer)),
  });
  const call = { op: op.invoke, handle, user: 1n, method: 1 };
  const invoke = (s: object): Request => {
    client.submit({ ...call, ...s });
    const [request] = server.requests();
    assert.ok(request);
    return request;
  };
  const given = invoke({ other: segment });
  const [one, two] = [take(given), take(given)];
  assert.ok(one > 0 && two > 0 && one !== two);
  reply(given, 0);
  assert.equal(rightsOf(server, one), RIGHTS_ALL & ~revoke, 'what was given stays');
  const lent = invoke({ other: segment, options: OPTION.lend });
  const three = take(lent);
  assert.ok(three > 0);
  reply(lent, 0);
  assert.equal(rightsOf(server, three), -ERRNO.BADF);
  const ring = client.call('cap_copy', client.handle, RIGHTS_ALL);
  for (const options of [OPTION.handles, OPTION.handles | OPTION.lend]) {
    const several = invoke({ ...words(segment, ring, 99, ring, 5), other: 4, options });
    assert.deepEqual([several.brought, several.given], [4, 20]);
    const taken = [0, 1, 2, 3, 4].map((which) => take(several, which));
    assert.deepEqual(
      taken.map((each) => Math.min(each, 0)),
      [0, 0, -ERRNO.BADF, 0, -ERRNO.INVAL],
    );
    // What the client writes there afterwards is its own affair.
    words(client.handle, 12345, segment);
    assert.ok(options !== OPTION.handles || take(several, 1) === -ERRNO.BADF);
    assert.ok(take(several, 2) > 0);
    system.checkpoint();
    system.crash();
    reply(several, 0);
    const after = taken.map((each) => (each > 0 ? rightsOf(server, each) : 0));
    const kept = options === OPTION.handles ? RIGHTS_ALL & ~revoke : -ERRNO.BADF;
    assert.deepEqual(after, [kept, kept, 0, kept, 0]);
  }
  client.completions();
  const errno = (s: object): number => -client.run({ ...call, ...s }).result;
  assert.equal(errno({ ...words(1, 2), other: 3, options: OPTION.handles }), ERRNO.INVAL);
  const many = Array.from({ length: BROUGHT_MAX + 1 }, () => segment);
  assert.equal(errno({ ...words(...many), other: many.length, options: OPTION.handles }), ERRNO.INVAL);
  assert.equal(errno({ other: client.call('cap_copy', segment, RIGHTS_ALL & ~share) }), ERRNO.NOTCAPABLE);
  assert.equal(errno({ other: 999 }), ERRNO.BADF);
});

test('random requests, loans, ends and crashes: what is lent ends with its request, and nothing is left', async (t) => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  t.diagnostic(`PERDURE_SEED=${seed}`);
  const prng = new Prng(seed);
  for (let life = 0; life < 12; life++) {
    const { system, server, client, handle, segment, reply } = await pair(TABLE_KIND.file);
    const third = await RingUser.make(system, 'third');
    /** Under way: the server has been given it, and may have been lent the segment, and have passed that on. */
    interface Under {
      request: Request;
      user: bigint;
      lent: number;
      passed: number;
      near: number;
    }
    const under = new Set<Under>();
    const over: Under[] = [];
    const sources = [segment, client.call('cap_derive', segment, RIGHTS_ALL, 0n)];
    let user = 1n;
    const end = (one: Under): void => {
      under.delete(one);
      over.push(one);
    };
    for (let step = 0; step < 120; step++) {
      const one = [...under][prng.below(Math.max(1, under.size))];
      const what = prng.below(12);
      const { clists } = system.kernel.core;
      if (what < 4 && under.size < 7) {
        const code = prng.pick([op.write, op.read]);
        const first = prng.pick(sources);
        client.submit({ op: code, user, handle, first, firstLength: prng.below(MIB), flags: SUBMIT.segment });
        for (const request of server.requests())
          if (request.op === code) under.add({ request, user, lent: 0, passed: 0, near: 0 });
        user += 1n;
      } else if (one === undefined) continue;
      else if (what < 7) {
        const taken = server.call('request_take', one.request.number, 0);
        if (one.lent === 0 && taken > 0) one.lent = taken;
        else assert.ok([-ERRNO.EXIST, -ERRNO.REVOKED, -ERRNO.BADF].includes(taken), String(taken));
      } else if (what === 7 && one.lent > 0 && one.passed === 0 && rightsOf(server, one.lent) > 0) {
        one.passed = clists.pass(domainOf(server), one.lent, domainOf(third), RIGHTS_ALL);
        one.near = mapped(third, one.passed, false);
      } else if (what === 8) {
        reply(one.request, prng.below(100));
        end(one);
      } else if (what === 9) {
        client.submit({ op: op.cancel, user: 0n, offset: one.user, flags: SUBMIT.quiet });
        server.requests();
        end(one);
      } else if (what === 10 && prng.chance(0.3)) {
        client.call('cap_revoke', sources[1] as number);
        client.call('cap_close', sources[1] as number);
        sources[1] = client.call('cap_derive', segment, RIGHTS_ALL, 0n);
      } else if (what === 11) {
        system.checkpoint();
        if (prng.chance(0.5)) system.crash();
        else system.kernel.relocate(server.id);
      }
      client.completions();
      for (const { lent, passed, near } of over) {
        if (lent > 0) assert.equal(rightsOf(server, lent), -ERRNO.BADF);
        if (passed > 0) assert.equal(rightsOf(third, passed), -ERRNO.REVOKED);
        // Another may have been mapped there since.
        const covered = [...under].some((each) => Math.abs(each.near - near) < MIB + 4096);
        if (near > 0 && !covered) assert.ok(!reaches(third, near, false));
      }
    }
    for (const each of prng.pick([
      [server, third, client],
      [client, server, third],
      [third, client, server],
    ]))
      system.kernel.remove(each.id);
    const { core } = system.kernel;
    assert.deepEqual([...counts(system), core.objects.count, core.windows.count], [0, 0, 0, 0]);
  }
});
