import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { perdureEngine } from './perdure.ts';
import { SKIPS } from './skips.ts';
import { NO_SUITE, runSuite, suiteFolder, summary } from './suite.ts';
import { v8Engine } from './v8.ts';

const folder = suiteFolder();

describe('the WebAssembly core suite', { skip: folder ? false : NO_SUITE }, () => {
  for (const engine of [v8Engine(), perdureEngine(false), perdureEngine(true)]) {
    it(`holds on ${engine.name}, but for the skip list`, async () => {
      const failures: string[] = [];
      const total = await runSuite(engine, folder!, (result) => {
        for (const f of result.failures) failures.push(`${result.script}:${f.line}: ${f.reason}`);
      });
      console.log(summary(engine, total));
      assert.deepEqual(failures, []);
      assert.ok(total.assertions > 60_000, `only ${total.assertions} assertions were made`);
    });
  }

  it('has every script that the skip list names, and a reason for each', () => {
    for (const skip of SKIPS) {
      assert.ok(existsSync(join(folder!, skip.script)), skip.script);
      assert.ok(skip.why.length > 10, skip.script);
    }
  });
});
