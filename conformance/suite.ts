/**
 * The whole suite on one engine.
 *
 *   const folder = suiteFolder()                        undefined where the suite is not on this machine
 *   const total = await runSuite(engine, folder, (result) => …)
 *
 * The suite is looked for in PERDURE_TESTSUITE, else beside the repository in ../shared/testsuite.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { assembler } from './assemble.ts';
import type { Engine } from './engine.ts';
import { runScript, type ScriptResult } from './run.ts';
import { skipsFor } from './skips.ts';

export function suiteFolder(): string | undefined {
  const folder = process.env.PERDURE_TESTSUITE ?? join(import.meta.dirname, '../../shared/testsuite');
  return existsSync(join(folder, 'i32.wast')) ? folder : undefined;
}

/** Why a test is skipped where there is no suite. */
export const NO_SUITE =
  'no WebAssembly test suite: neither PERDURE_TESTSUITE nor ../shared/testsuite holds the .wast scripts';

/** Every script, as paths in the folder. */
export function suiteScripts(folder: string): string[] {
  return ['', 'legacy', 'threads']
    .filter((sub) => existsSync(join(folder, sub)))
    .flatMap((sub) =>
      readdirSync(join(folder, sub))
        .filter((f) => f.endsWith('.wast'))
        .map((f) => join(sub, f)),
    )
    .sort();
}

export interface SuiteTotal {
  scripts: number;
  scriptsSkipped: number;
  /** Commands that held, and of these the assertions. */
  passed: number;
  assertions: number;
  skipped: number;
  failed: number;
}

/** Runs every script, or those named, and reports each as it ends. */
export async function runSuite(
  engine: Engine,
  folder: string,
  report: (result: ScriptResult) => void,
  only: readonly string[] = [],
): Promise<SuiteTotal> {
  const assemble = await assembler();
  const skips = skipsFor(engine.name);
  const total = { scripts: 0, scriptsSkipped: 0, passed: 0, assertions: 0, skipped: 0, failed: 0 };
  for (const script of suiteScripts(folder)) {
    if (only.length > 0 && !only.includes(script)) continue;
    if (skips.script(script) !== undefined) {
      total.scriptsSkipped++;
      continue;
    }
    const text = readFileSync(join(folder, script), 'utf8');
    const result = await runScript(engine, script, text, assemble, skips);
    total.scripts++;
    total.passed += result.passed;
    total.assertions += result.assertions;
    total.skipped += result.skipped;
    total.failed += result.failures.length;
    report(result);
  }
  return total;
}

/** One line of totals. */
export function summary(engine: Engine, total: SuiteTotal): string {
  return (
    `${engine.name}: ${total.scripts} scripts, ${total.assertions} assertions hold, ${total.failed} fail, ` +
    `${total.skipped} skipped; ${total.scriptsSkipped} scripts skipped (conformance/skips.ts says why)`
  );
}
