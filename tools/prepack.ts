/**
 * Makes what the npm package ships: JavaScript and type declarations in `dist/`, from `src/` without its tests. Node
 * strips no types under node_modules, so an installed package cannot run the sources. npm runs this before `pack`.
 *
 * Why: RATIONALE.md#typescript-without-a-build
 */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

rmSync(join(root, 'dist'), { recursive: true, force: true });
const tsc = join(root, 'node_modules', '.bin', 'tsc');
const made = spawnSync(tsc, ['--project', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
if (made.error) {
  process.stderr.write(`prepack: cannot run ${tsc}: ${made.error.message} (npm ci brings it)\n`);
}
process.exitCode = made.status ?? 1;
