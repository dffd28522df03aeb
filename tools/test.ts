/**
 * `npm test [-- PATH...]`: builds the guests that can be built here, then runs every test of the project, or those
 * under the paths given, with Node's own runner. Its closing summary is the last thing printed; the exit code is its
 * own. Where CI is set, a guest that cannot be built is an error and not a reason to skip what needs it.
 */
import { spawnSync } from 'node:child_process';
import { globSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { buildGuests } from '../guests/build.ts';

const root = join(import.meta.dirname, '..');
const FOLDERS = ['src', 'conformance', 'guests', 'bench', 'tools', 'examples'];
/** A test that hangs must not hang the run for ever; nothing should come near this. In milliseconds. */
const TEST_TIMEOUT_MS = 20 * 60_000;

function testFiles(paths: readonly string[]): string[] {
  const wanted = paths.length > 0 ? paths : FOLDERS;
  return wanted
    .flatMap((path) => {
      const full = join(root, path);
      const isFile = statSync(full, { throwIfNoEntry: false })?.isFile() ?? false;
      return isFile ? [path] : globSync('**/*.test.ts', { cwd: full }).map((file) => join(path, file));
    })
    .sort();
}

async function guests(): Promise<boolean> {
  const missing = await buildGuests();
  for (const [name, reason] of missing) process.stdout.write(`guest ${name} is not built: ${reason}\n`);
  if (missing.size > 0 && process.env.CI) {
    process.stdout.write('CI is set, so every guest must be built\n');
    return false;
  }
  if (missing.size > 0) process.stdout.write('tests that need these guests are skipped\n');
  return true;
}

const files = testFiles(process.argv.slice(2));
if (files.length === 0) {
  process.stdout.write('no test files there\n');
  process.exitCode = 1;
} else if (await guests()) {
  const cores = Math.min(4, Math.max(1, availableParallelism()));
  const flags = ['--test', `--test-concurrency=${cores}`, `--test-timeout=${TEST_TIMEOUT_MS}`];
  const run = spawnSync(process.execPath, [...flags, ...files], { cwd: root, stdio: 'inherit' });
  process.exitCode = run.status ?? 1;
} else {
  process.exitCode = 1;
}
