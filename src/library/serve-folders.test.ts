/** Folders and files served in TypeScript: what is opened, moved, mapped, given up; what is thrown; over kill -9. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ATTRIBUTE, OPERATION, OPTION } from '../abi/ring.ts';
import { folderFor } from '../base/folder.testing.ts';
import type { Outgoing } from '../drivers/served.ts';
import {
  ERRNO,
  GuestError,
  type RequestContext,
  type ServedFile,
  type ServedFolder,
  type ServedObject,
  Space,
} from '../index.ts';
import type { ServedAnswer } from '../kernel/ports.ts';
import { clientOf, encode } from './client.testing.ts';
import { Serving } from './serving.ts';

const { open, read, write, describe, change, rename, link, map, close, list, readLink } = OPERATION;

async function served(t: TestContext, object: ServedObject) {
  const space = await Space.open(folderFor(t));
  t.after(() => space.close());
  const thing = await space.serve('thing', object);
  const problems: string[] = [];
  void (async () => {
    for await (const event of space.events()) if (event.kind === 'problem') problems.push(event.text);
  })();
  return { space, thing, problems, ...(await clientOf(space, { imports: { x: thing } })) };
}

const file = (more: Partial<ServedFile> = {}): ServedFile => ({
  read: ({ offset, length }) => Buffer.from('0123456789').subarray(Number(offset), Number(offset) + length),
  describe: () => ({ size: 10, number: 77n, links: 2, modifiedNs: 5n, accessedNs: 6n, changedNs: 7n }),
  ...more,
});

const folder = (more: Partial<ServedFolder> = {}): ServedFolder => ({
  open: (path) =>
    path === 'f' ? file() : path === 'sub' ? folder() : Promise.reject(new GuestError(ERRNO.NOENT)),
  list: () => [],
  describe: () => ({ type: 'folder' }),
  ...more,
});

test('what is opened is an object of its own, and its end is told once', async (t) => {
  const story: string[] = [];
  const { ask, domain } = await served(
    t,
    folder({
      open: (path, how) => {
        const options = Object.entries(how).flatMap(([name, on]) => (on ? [name] : []));
        story.push(`open ${path}: ${options.join(' ')}`);
        if (path === 'a/f') return file({ closed: () => void story.push('closed') });
        if (path === 'sub') return folder({ open: (inner) => file({ key: `key of ${inner}` }) });
        throw new GuestError(ERRNO.NOENT);
      },
    }),
  );
  const options = OPTION.read | OPTION.create | OPTION.follow;
  const first = await ask({ operation: open, first: './a//b/../f', options });
  assert(first.result > 0);
  assert.equal(first.value, 4, 'a file');
  const again = await ask({ operation: open, first: 'a/f', options: OPTION.read });
  assert.notEqual(again.result, first.result);
  const handle = first.result;
  const part = await ask({ operation: read, handle, offset: 8n, room: 10 });
  assert.deepEqual([part.result, part.filled.subarray(0, 2).toString()], [2, '89']);
  const told = await ask({ operation: describe, handle, room: 64 });
  const at = (offset: number): bigint => told.filled.readBigUInt64LE(offset);
  assert.deepEqual(
    [
      ATTRIBUTE.number,
      ATTRIBUTE.links,
      ATTRIBUTE.size,
      ATTRIBUTE.modified,
      ATTRIBUTE.accessed,
      ATTRIBUTE.changed,
    ].map(at),
    [77n, 2n, 10n, 5n, 6n, 7n],
  );
  assert.equal((await ask({ operation: list, handle, room: 64 })).result, -ERRNO.NOTDIR);
  assert.equal((await ask({ operation: read, room: 64 })).result, -ERRNO.ISDIR);
  const itself = await ask({ operation: open, first: '.', options: OPTION.directory });
  assert.equal(itself.value, 3);
  const sub = await ask({ operation: open, first: 'sub/', options: OPTION.read });
  assert.equal(sub.value, 3);
  assert.equal((await ask({ operation: open, first: 'g', handle: sub.result })).value, 4);
  assert.equal((await ask({ operation: open, first: 'a/f/' })).result, -ERRNO.NOTDIR);
  assert.equal((await ask({ operation: open, first: 'none' })).result, -ERRNO.NOENT);
  for (const path of ['..', 'a/../..', '/f', '/']) {
    assert.equal((await ask({ operation: open, first: path })).result, -ERRNO.PERM, path);
  }
  assert.equal((await ask({ operation: open, first: Uint8Array.of(0x61, 0xff) })).result, -ERRNO.ILSEQ);
  assert.equal((await ask({ operation: open, first: 'a\0b' })).result, -ERRNO.INVAL);
  assert.equal((await ask({ operation: close, handle })).result, 0);
  assert.equal((await ask({ operation: close, handle: itself.result })).result, 0);
  domain.endInput();
  assert.equal(await domain.finished(), 0);
  assert.deepEqual(story, [
    'open a/f: create follow read',
    'open a/f: read',
    'open sub: folder read',
    'open a/f: folder',
    'closed', // could not be given: it is no folder
    'open none: ',
    'closed',
    'closed', // the program has ended, and had it open
  ]);
});

test('names move between folders of one tree, and not out of it', async (t) => {
  const story: unknown[] = [];
  const inner: ServedFolder = folder({
    rename: (path, to) => void story.push(['inner', path, to.path, to.folder]),
  });
  const root: ServedFolder = folder({
    open: () => inner,
    rename: (path, to) => void story.push([path, to.path, to.folder]),
    link: (path, to) => void story.push([path, to.path, to.folder, to.follow]),
    readLink: (path) => `says ${path}`,
  });
  const { space, ask } = await served(t, root);
  const { result } = await ask({ operation: open, first: 'sub' });
  assert.equal((await ask({ operation: rename, first: 'a', second: 'b/c' })).result, 0);
  assert.equal((await ask({ operation: rename, first: 'a', second: 'b', other: result })).result, 0);
  assert.equal((await ask({ operation: rename, first: 'a', second: 'b', handle: result })).result, 0);
  assert.equal((await ask({ operation: link, first: 'a', second: 'b', options: OPTION.follow })).result, 0);
  assert.equal((await ask({ operation: rename, first: 'a', second: '../b' })).result, -ERRNO.PERM);
  assert.equal(
    (await ask({ operation: link, first: 'a', second: 'b', handle: result })).result,
    -ERRNO.NOTSUP,
  );
  const says = await ask({ operation: readLink, first: 'l', room: 20 });
  assert.equal(says.filled.subarray(0, says.result).toString(), 'says l');
  assert.deepEqual(story, [
    ['a', 'b/c', root],
    ['a', 'b', inner],
    ['inner', 'a', 'b', inner],
    ['a', 'b', root, true],
  ]);
  const other = await space.serve('other', folder());
  const domain = await space.get('client');
  await domain.grant('y', other);
  const handle = (await domain.inspect()).capabilities.find(({ name }) => name === 'y')?.handle ?? 0;
  assert.equal(
    (await ask({ operation: rename, first: 'a', second: 'b', other: handle })).result,
    -ERRNO.XDEV,
  );
});

test('the bytes of a file come as a segment, as it says or as they are read', async (t) => {
  const bytes = Buffer.from('a snapshot');
  const { ask, domain } = await served(
    t,
    folder({
      open: (path) =>
        path === 'map'
          ? file({ map: () => bytes })
          : file({
              read: ({ offset }) => Buffer.from('0123456789').subarray(Number(offset), Number(offset) + 3),
            }),
    }),
  );
  for (const [path, size] of [
    ['map', 10],
    ['read', 10],
  ] as const) {
    const { result: handle } = await ask({ operation: open, first: path, options: OPTION.read });
    const { result } = await ask({ operation: map, handle });
    assert(result > 0, `${path}: ${result}`);
    const there = await ask({ operation: describe, handle: result, room: 64 });
    assert.equal(there.filled.readUInt32LE(ATTRIBUTE.size), size);
    const { filled } = await ask({ operation: read, handle: result, room: 10 });
    assert.equal(filled.subarray(0, 10).toString(), path === 'map' ? 'a snapshot' : '0123456789');
  }
  assert.equal((await ask({ operation: map })).result, -ERRNO.ISDIR);
  assert.equal((await domain.inspect()).capabilities.filter(({ kind }) => kind === 'segment').length, 2);
});

test('what is thrown is an errno to the program; what makes no sense is IO, and a problem for the owner', async (t) => {
  const thrown: unknown[] = [
    new GuestError(ERRNO.EXIST),
    Object.assign(new Error('no such file'), { code: 'ENOENT' }),
    Object.assign(new Error('refused'), { code: 'EACCES' }),
    Object.assign(new Error('of Node itself'), { code: 'ERR_INVALID_ARG_TYPE' }),
    'text',
    undefined,
  ];
  const results: unknown[] = ['no bytes', 7, undefined];
  const { ask, problems, space } = await served(t, {
    describe: () => {
      throw thrown.shift();
    },
    read: () => results.shift() as Uint8Array,
    write: () => 99,
    list: () => [{ name: 'a/b' }],
  });
  const wanted = [ERRNO.EXIST, ERRNO.NOENT, ERRNO.ACCES, ERRNO.IO, ERRNO.IO, ERRNO.IO];
  for (const errno of wanted) assert.equal((await ask({ operation: describe, room: 64 })).result, -errno);
  for (const _ of [1, 2, 3]) assert.equal((await ask({ operation: read, room: 8 })).result, -ERRNO.IO);
  assert.equal((await ask({ operation: write, first: 'abc' })).result, -ERRNO.IO);
  assert.equal((await ask({ operation: list, room: 80 })).result, -ERRNO.IO);
  assert.equal(
    (await ask({ operation: change, first: '', second: new Uint8Array(24) })).result,
    -ERRNO.NOTSUP,
  );
  await space.checkpoint();
  assert.equal(problems.length, 8);
  assert.match(
    problems.join('\n'),
    /of Node itself\n.*text\n.*undefined\n.*no Uint8Array\n[\s\S]*has taken 99 of 3[\s\S]*a\/b/,
  );
});

test('what makes no sense never reaches the space; of a large buffer only what is wanted does', async () => {
  const problems: string[] = [];
  const large = Buffer.alloc(1 << 22, 'x');
  const serving = new Serving(
    {
      read: ({ length }) => large.subarray(10, 10 + 2 * length),
      invoke: () => ({ result: 1, bytes: 'text' as unknown as Uint8Array }),
      open: (path) => ({ key: path === 'number' ? (5 as unknown as string) : '\ud800' }),
      write: () => ({ end: 0.5 }),
      wait: () => ({ read: true, bytes: 1.5 }),
      describe: () => ({ number: 5 as unknown as bigint }),
    },
    (text) => problems.push(text),
  );
  const ask = (operation: number, more: Partial<Outgoing> = {}): Promise<ServedAnswer> => {
    const plain = {
      name: 'x',
      again: false,
      opened: null,
      to: null,
      other: null,
      method: 0,
      badge: 0n,
      rights: 255,
    };
    const given = new TextEncoder().encode('number');
    const rest = { options: OPTION.read, offset: 0n, given, givenFirst: given.length, room: 64 };
    return serving.perform({ id: operation, operation, ...plain, ...rest, ...more });
  };
  const { result, data } = await ask(read, { room: 5 });
  assert.deepEqual([result, Buffer.from(data).toString(), data.buffer.byteLength], [5, 'xxxxx', 5]);
  const other = { given: new Uint8Array(1).fill(97), givenFirst: 1 };
  const senseless = [ask(OPERATION.invoke), ask(open), ask(open, other), ask(OPERATION.wait), ask(describe)];
  senseless.push(ask(write, { offset: 2n ** 64n - 2n }));
  for (const answer of await Promise.all(senseless)) assert.equal(answer.result, -ERRNO.IO);
  assert.equal(problems.length, 6);
  assert.equal((await ask(200)).result, -ERRNO.NOTSUP);
});

test('a request that nobody waits for is given up: its program is gone, its object, the space', async (t) => {
  const contexts: RequestContext[] = [];
  let arrived = Promise.withResolvers<RequestContext>();
  const late: string[] = [];
  const hangs: ServedObject = {
    invoke: (_method, _bytes, context) => {
      contexts.push(context);
      arrived.resolve(context);
      arrived = Promise.withResolvers();
      return new Promise((_, reject) =>
        context.signal.addEventListener('abort', () => reject(context.signal.reason)),
      );
    },
    open: async (_path, _how, { signal }) => {
      arrived.resolve(contexts[0] as RequestContext);
      arrived = Promise.withResolvers();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return { closed: () => void late.push('closed') };
    },
  };
  const { space, thing, problems, domain } = await served(t, hangs);
  const aborted = async (context: RequestContext): Promise<void> => {
    if (context.signal.aborted) return;
    await new Promise((resolve) => context.signal.addEventListener('abort', resolve));
  };
  const ask = (who: typeof domain, operation: number) => {
    const coming = arrived.promise;
    who.write(encode({ operation, first: 'f' }));
    return coming;
  };
  const first = await ask(domain, OPERATION.invoke);
  assert.equal(first.signal.aborted, false);
  await domain.stop();
  await aborted(first);
  const second = await clientOf(space, { name: 'second', imports: { x: thing } });
  await ask(second.domain, open);
  await second.domain.remove({ force: true });
  while (late.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const third = await clientOf(space, { name: 'third', imports: { x: thing } });
  const context = await ask(third.domain, OPERATION.invoke);
  await thing[Symbol.asyncDispose]();
  await aborted(context);
  assert.equal((await third.said.next()).result, -ERRNO.GONE);
  await thing[Symbol.asyncDispose]();
  const anew = await space.serve('thing', hangs);
  await thing[Symbol.asyncDispose]();
  const fourth = await ask(third.domain, OPERATION.invoke);
  assert(anew);
  await space.close();
  await aborted(fourth);
  assert.equal((fourth.signal.reason as { code: string }).code, 'closed');
  await anew[Symbol.asyncDispose]();
  assert.deepEqual(problems, []);
});

test("waiting for a stream is the stream's to end; a request whose time is up is given up, and nothing of it stays", async (t) => {
  const ready = Promise.withResolvers<void>();
  const until: unknown[] = [];
  const signals: AbortSignal[] = [];
  const { ask, domain } = await served(t, {
    read: () => Buffer.from('now'),
    wait: async (wanted, { signal }) => {
      until.push(wanted);
      signals.push(signal);
      await (until.length === 1 ? ready.promise : new Promise(() => {}));
      return { read: true, bytes: 3 };
    },
  });
  const wait = { operation: OPERATION.wait, options: OPTION.read };
  const waiting = ask(wait);
  while (until.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  ready.resolve();
  assert.deepEqual(pick(await waiting), [OPTION.read, 3]);
  assert.equal((await ask({ ...wait, limitNs: 50_000_000n })).result, -ERRNO.TIMEDOUT);
  while (signals[1]?.aborted !== true) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal((await ask({ operation: read, room: 3, offset: 2n ** 64n - 1n })).result, 3);
  assert.deepEqual(until, [
    { read: true, write: false },
    { read: true, write: false },
  ]);
  assert.equal((await domain.inspect()).account?.requests.used, 0);
});

const pick = ({ result, value }: { result: number; value: number }): number[] => [result, value];

const LIFE = join(import.meta.dirname, 'serve-folders.kill.testing.ts');

test('a process that serves a folder is killed again and again, and its program has its file open all the time', async (t) => {
  const place = folderFor(t);
  let [kills, output] = [0, ''];
  for (let code: number | null = null; code !== 0; kills++) {
    assert(kills < 200);
    const child = spawn(process.execPath, [LIFE, place], { stdio: ['ignore', 'pipe', 'inherit'] });
    let done = 0;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      done += text.length;
      // When it has got on by so many requests, it is killed, some time later.
      if (done >= 10 + ((kills * 7) % 20)) setTimeout(() => child.kill('SIGKILL'), (kills * 5) % 16);
    });
    code = await new Promise((resolve) => child.on('close', resolve));
  }
  const bytes = readFileSync(join(place, 'tree', 'moved'));
  assert.deepEqual([...new Uint32Array(new Uint8Array(bytes).buffer)], [...Array(100).keys()]);
  assert(kills > 2, `killed ${kills - 1} times: ${output}`);
});
