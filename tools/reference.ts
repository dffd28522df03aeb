/**
 * `npm run docs`: the API reference, from the docstrings of all that `src/index.ts` exports, as pages in `reference/html`.
 * A name without a docstring or a link that leads nowhere is a failure. TypeDoc and the TypeScript it works with are
 * installed apart, in `reference/`.
 *
 * Why: RATIONALE.md#the-api-reference-has-a-typescript-of-its-own
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = join(import.meta.dirname, '..', 'reference');
const TYPEDOC = join(FOLDER, 'node_modules', 'typedoc', 'bin', 'typedoc');

/** Whether TypeDoc is there; `npm ci` brings it. */
export const hasTypeDoc = (): boolean => existsSync(TYPEDOC);

/** Runs TypeDoc. `check`: nothing is written. Gives what it said and its exit code, which is not 0 after a warning. */
export function makeReference(check: boolean): { said: string; status: number } {
  const options = check ? ['--emit', 'none'] : [];
  const ran = spawnSync(process.execPath, [TYPEDOC, ...options], {
    cwd: FOLDER,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  });
  return { said: `${ran.stdout}${ran.stderr}`, status: ran.status ?? 1 };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (hasTypeDoc()) {
    const { said, status } = makeReference(false);
    process.stdout.write(said);
    process.exitCode = status;
  } else {
    process.stderr.write('docs: TypeDoc is not installed (npm ci brings it)\n');
    process.exitCode = 1;
  }
}
