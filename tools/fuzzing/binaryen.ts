/**
 * Random programs by Binaryen's generator (`wasm-opt --translate-to-fuzz`): any instruction of any feature that Perdure
 * takes, in shapes nobody here thought of.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EnvironmentError } from '../../src/base/errors.ts';
import type { Prng } from '../../src/base/prng.ts';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** The binary of the package itself: another wasm-opt may stand in the path. */
const WASM_OPT = join(ROOT, 'node_modules', 'binaryen', 'bin', 'wasm-opt');
/** Features that Perdure refuses. */
const REFUSED = [
  ...['gc', 'strings', 'stack-switching', 'shared-everything', 'fp16', 'custom-descriptors', 'multibyte'],
  ...[
    'acquire-release-atomics',
    'custom-page-sizes',
    'wide-arithmetic',
    'compact-imports',
    'relaxed-atomics',
  ],
];
/** Features that a program may be without, so that others come up more often. */
const OPTIONAL = [
  'exception-handling',
  'simd',
  'threads',
  'memory64',
  'multimemory',
  'tail-call',
  'reference-types',
];

/** A program. @throws EnvironmentError where the tool fails */
export function binaryenProgram(prng: Prng): Uint8Array<ArrayBuffer> {
  const folder = mkdtempSync(join(tmpdir(), 'perdure-fuzz-'));
  try {
    const [input, output] = [join(folder, 'input'), join(folder, 'output.wasm')];
    const size = prng.pick([500, 2000, 6000, 20000]);
    writeFileSync(
      input,
      Uint8Array.from({ length: 100 + prng.below(size) }, () => prng.u32()),
    );
    const without = OPTIONAL.filter(() => prng.chance(0.25));
    // Exceptions need references.
    if (without.includes('reference-types')) without.push('exception-handling');
    const flags = [
      ...['--translate-to-fuzz', input, '-o', output, '--all-features', '--translate-to-exnref', '--denan'],
      ...[...REFUSED, ...without].map((feature) => `--disable-${feature}`),
      ...(prng.chance(0.2) ? ['--fuzz-passes'] : []),
    ];
    const run = spawnSync(process.execPath, [WASM_OPT, ...flags], { encoding: 'utf8' });
    if (run.status !== 0) throw new EnvironmentError('tools', `wasm-opt failed: ${run.stderr.slice(0, 500)}`);
    return new Uint8Array(readFileSync(output));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
