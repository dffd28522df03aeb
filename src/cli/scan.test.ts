/** Files of the host mapped by a C program: larger than its memory, over kill -9, and changed behind its back. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { canBuild, guest } from '../../guests/build.ts';
import { Tool } from './cli.testing.ts';

const skip = canBuild('scan') ?? false;
const MIB = 1 << 20;
const BYTES = 24 * MIB + 1000;
let scan: string;

before(async () => {
  if (skip === false) scan = await guest('scan');
});

/** A folder `data` with a file `big`; and the sum of its bytes. */
function withFile(t: TestContext): { tool: Tool; big: string; sum: number; run: string[] } {
  const tool = new Tool(t);
  mkdirSync(join(tool.folder, 'data'));
  const big = join(tool.folder, 'data', 'big');
  const bytes = Buffer.alloc(BYTES);
  let sum = 0;
  for (let i = 0; i < BYTES; i += 101) sum += bytes[i] = (i >> 8) & 255;
  writeFileSync(big, bytes);
  const run = ['run', '--memory', '2M', '--dir', 'data::/data:ro', '--name', 'scan', scan, '/data', 'big'];
  return { tool, big, sum, run };
}
const line = (round: number, sum: number): string => `round ${round}: ${BYTES} bytes, sum ${sum}\n`;

test('a program of 2 MiB adds up a file of 24 through pointers', { skip }, async (t) => {
  const { tool, sum, run } = withFile(t);
  const { code, stdout, stderr } = await tool.run(...run, '2');
  assert.deepEqual([code, stdout, stderr], [0, line(1, sum) + line(2, sum), '']);
});

test('killed while it does so, it goes on; when the file has changed, it ends', { skip }, async (t) => {
  const { tool, big, sum, run } = withFile(t);
  const first = tool.start([...run, '100000'], { input: '' });
  await first.saw(/round 3:/);
  first.child.kill('SIGKILL');
  await first.ended;
  const again = tool.start(['up'], { input: '' });
  await again.saw(new RegExp(`round 1[0-9]: ${BYTES} bytes, sum ${sum}\n`));
  appendFileSync(big, 'more');
  const { stdout, stderr } = await again.saw(/cannot be read/, 'stderr').then(() => {
    again.child.kill('SIGTERM');
    return again.ended;
  });
  assert.match(stdout + stderr, /what is mapped here cannot be read: STALE/);
  for (const [, said] of stdout.matchAll(/sum (\d+)/g)) assert.equal(Number(said), sum);
});
