/**
 * Runs the WebAssembly test suite, or only the scripts named, and prints what fails: on plain V8, in Perdure's space
 * (`--engine perdure`), there with an unwind at every safepoint (`--engine unwind`), or with windows compiled in (`--engine windows`).
 *
 *   node conformance/main.ts [--engine v8|perdure|unwind|windows] [SCRIPT...]
 */

import { perdureEngine } from './perdure.ts';
import { NO_SUITE, runSuite, suiteFolder, summary } from './suite.ts';
import { v8Engine } from './v8.ts';

const folder = suiteFolder();
if (!folder) {
  process.stderr.write(`${NO_SUITE}\n`);
  process.exitCode = 2;
} else {
  const only = process.argv.slice(2);
  const which = only[0] === '--engine' ? only.splice(0, 2)[1] : 'v8';
  const engine = which === 'v8' ? v8Engine() : perdureEngine(which === 'unwind', which === 'windows');
  const total = await runSuite(
    engine,
    folder,
    ({ script, passed, failures }) => {
      if (failures.length === 0) return;
      console.log(`${script}: ${failures.length} fail, ${passed} hold`);
      const shown = only.length > 0 ? failures : failures.slice(0, 40);
      for (const { line, reason } of shown) console.log(`  ${line}: ${reason.slice(0, 300)}`);
    },
    only,
  );
  console.log(summary(engine, total));
  process.exitCode = total.failed > 0 ? 1 : 0;
}
