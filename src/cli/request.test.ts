import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EnvironmentError } from '../base/errors.ts';
import { folderFor } from '../base/folder.testing.ts';
import { parse } from './args.ts';
import { grantsOf, parseDir, readProgram, runRequest } from './request.ts';

function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    assert(error instanceof EnvironmentError, String(error));
    return `${error.code}: ${error.message} (${error.hint})`;
  }
  throw new Error('accepted');
}

test('options become a request, with the name taken from the file', () => {
  process.env.PERDURE_TEST_PASSED = 'on';
  const words = '--memory 64M --cpu 2s -e A=1=2 -e PERDURE_TEST_PASSED -e PERDURE_TEST_NONE --volatile';
  const request = runRequest(parse(['run', ...words.split(' '), 'x/My Program.wasm', '-a', 'b c']));
  assert.deepEqual(request, {
    name: 'My-Program',
    exact: false,
    arguments: ['My Program.wasm', '-a', 'b c'],
    environment: ['A=1=2', 'PERDURE_TEST_PASSED=on'],
    dirs: [],
    listen: [],
    connect: [],
    memoryLimitBytes: 64 << 20,
    outboxLimitBytes: null,
    cpuLimitMs: 2000,
    detached: false,
    volatile: true,
    trapUnknownImports: false,
    grants: [],
    imports: [],
    maps: [],
    isolation: 'space',
  });
  assert.equal(runRequest(parse(['run', '--', '---.wasm'])).name, 'program');
});

test('names that could not be typed or stored are refused', () => {
  for (const name of ['', '-a', 'a b', 'a/b', '..', 'x'.repeat(65), 'a\n']) {
    assert.match(
      refusal(() => runRequest(parse(['run', `--name=${name}`, 'p.wasm']))),
      /cannot be a name/,
    );
  }
  assert.equal(runRequest(parse(['run', '--name', 'dö.b-1', 'p.wasm'])).name, 'dö.b-1');
});

test('granted folders must be there and have a place in the program', (t) => {
  const folder = folderFor(t);
  writeFileSync(join(folder, 'file'), '');
  mkdirSync(join(folder, 'a:b'));
  assert.deepEqual(parseDir(`${folder}::/data:ro`), { host: folder, guest: '/data', readOnly: true });
  assert.deepEqual(parseDir(`${folder}/a:b::/d`), {
    host: join(folder, 'a:b'),
    guest: '/d',
    readOnly: false,
  });
  assert.match(
    refusal(() => parseDir(folder)),
    /is not HOST::GUEST.*--dir .*::\/data/,
  );
  assert.match(
    refusal(() => parseDir(`${folder}::data`)),
    /does not begin with \//,
  );
  assert.match(
    refusal(() => parseDir(`${folder}/none::/data`)),
    /there is none/,
  );
  assert.match(
    refusal(() => parseDir(`${folder}/file::/data`)),
    /not a folder/,
  );
});

test('files that are no program are refused with what they are', (t) => {
  const folder = folderFor(t);
  const check = (bytes: string | Uint8Array) => {
    writeFileSync(join(folder, 'p'), bytes);
    return refusal(() => readProgram(join(folder, 'p')));
  };
  assert.match(check(''), /not-a-program: .* is empty/);
  assert.match(check('hello'), /is not a WebAssembly program/);
  assert.match(check('(module)'), /wat2wasm/);
  assert.match(check('\x7fELF....'), /not WebAssembly/);
  assert.match(check(Uint8Array.of(0, 97, 115, 109, 13, 0, 1, 0)), /component/);
  assert.match(check(Uint8Array.of(0, 97, 115, 109, 2, 0, 0, 0)), /version/);
  assert.match(
    refusal(() => readProgram(join(folder, 'none'))),
    /^no-program: there is no file/,
  );
  assert.match(
    refusal(() => readProgram(folder)),
    /is a folder/,
  );
});

test('limits and addresses that make no sense are refused', () => {
  assert.match(
    refusal(() => runRequest(parse(['run', '--listen', 'here', 'p']))),
    /is not an address/,
  );
  assert.match(
    refusal(() => runRequest(parse(['run', '--memory', '1K', 'p']))),
    /less than one page/,
  );
  assert.match(
    refusal(() => runRequest(parse(['run', '--cpu', 'fast', 'p']))),
    /is not a time/,
  );
  assert.match(
    refusal(() => runRequest(parse(['run', '--env', '=x', 'p']))),
    /is not KEY=VALUE/,
  );
});

test('what is granted is the compiler, or something under a name', () => {
  const granted = (...list: string[]) => {
    const { grants, imports } = grantsOf(
      parse(['run', ...list.flatMap((text) => ['--grant', text]), 'p.wasm']),
    );
    return { grants, imports };
  };
  assert.deepEqual(
    granted('compiler', 'calc=server', 'a=b=c', 't=host:clock', 'm.add=server/kid#add', 'x=perdure:1:2'),
    {
      grants: ['compiler'],
      imports: [
        { name: 'calc', from: { kind: 'domain', name: 'server' } },
        { name: 'a', from: { kind: 'domain', name: 'b=c' } },
        { name: 't', from: { kind: 'clock' } },
        { name: 'm.add', from: { kind: 'gate', name: 'server/kid', procedure: 'add' } },
        { name: 'x', from: { kind: 'sturdy', text: 'perdure:1:2' } },
      ],
    },
  );
  assert.throws(() => granted('compile'), { code: 'usage', hint: /compiler/ });
  assert.throws(() => granted('x=host:clok'), { code: 'usage', hint: /host:clock/ });
  assert.throws(() => granted('=server'), { code: 'usage' });
});
