/**
 * Runs the WebAssembly test suite on plain V8, or only the scripts named, and prints what fails:
 *
 *   node conformance/main.ts [SCRIPT...]
 */
import { NO_SUITE, runSuite, suiteFolder, summary } from './suite.ts';
import { v8Engine } from './v8.ts';

const folder = suiteFolder();
if (!folder) {
  process.stderr.write(`${NO_SUITE}\n`);
  process.exitCode = 2;
} else {
  const engine = v8Engine();
  const only = process.argv.slice(2);
  const total = await runSuite(
    engine,
    folder,
    ({ script, passed, failures }) => {
      if (failures.length === 0) return;
      console.log(`${script}: ${failures.length} fail, ${passed} hold`);
      const shown = only.length > 0 ? failures : failures.slice(0, 5);
      for (const { line, reason } of shown) console.log(`  ${line}: ${reason.slice(0, 300)}`);
    },
    only,
  );
  console.log(summary(engine, total));
  process.exitCode = total.failed > 0 ? 1 : 0;
}
