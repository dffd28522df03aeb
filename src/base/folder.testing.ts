/** For tests only: a folder that is there as long as its test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'perdure-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
