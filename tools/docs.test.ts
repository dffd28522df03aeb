/**
 * The documents and the code must go on speaking of each other: files that are named exist, headings that are cited
 * exist, and so do the npm scripts that people are told to run.
 */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '..');
const DOCUMENTS = [
  'README.md',
  'ARCHITECTURE.md',
  'RATIONALE.md',
  'GUARANTEES.md',
  'CONTRIBUTING.md',
  'src/verifier/README.md',
];
/** Where a path in a document may begin. */
const BASES = ['', 'src', 'src/personalities', 'src/verifier', 'tools'];
const text = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

function sources(): string[] {
  const folders = ['src', 'bin', 'tools', 'bench', 'guests', 'conformance'];
  return globSync(
    folders.map((folder) => `${folder}/**/*.{ts,mjs}`),
    { cwd: ROOT },
  );
}

/** Source files named in backquotes, without patterns and options. */
function filesIn(document: string): string[] {
  return [...document.matchAll(/`(?:npx )?(?:node )?([\w./-]+\.(?:ts|mjs|md))[^`]*`/g)].map(
    (found) => found[1]!,
  );
}

/** As GitHub makes an anchor of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
}

function anchorsOf(document: string): Set<string> {
  return new Set([...document.matchAll(/^#+ (.+)$/gm)].map((found) => anchorOf(found[1]!)));
}

const EXAMPLES = /^(x|x\.test)\.ts$/;

test('every file that a document names is there', () => {
  const names = new Set(sources().map((file) => basename(file)));
  const lost: string[] = [];
  for (const document of DOCUMENTS) {
    const found = filesIn(text(document)).filter((name) => !EXAMPLES.test(name));
    assert.ok(document === 'README.md' || found.length > 0, document);
    for (const name of found) {
      const there = BASES.some((base) => existsSync(join(ROOT, base, name)));
      if (!there && !(basename(name) === name && names.has(name))) lost.push(`${document}: ${name}`);
    }
  }
  assert.deepEqual(lost, []);
});

test('every reason that code cites is a heading of RATIONALE.md', () => {
  const anchors = anchorsOf(text('RATIONALE.md'));
  const cited: string[] = [];
  for (const file of sources()) {
    for (const [, anchor] of text(file).matchAll(/RATIONALE\.md#([\w-]+)/g)) {
      assert.ok(anchors.has(anchor!), `${file}: RATIONALE.md has no heading for #${anchor}`);
      cited.push(anchor!);
    }
  }
  assert.ok(cited.length > 20, 'citations are found at all');
});

test('every npm script that a document names is there', () => {
  const { scripts } = JSON.parse(text('package.json')) as { scripts: Record<string, string> };
  for (const document of DOCUMENTS) {
    for (const [, name] of text(document).matchAll(/\bnpm run ([a-z]+)/g)) {
      assert.ok(name! in scripts, `${document}: npm run ${name}`);
    }
  }
});

test('anchors are those of GitHub', () => {
  assert.equal(
    anchorOf("Saved frames are the program's, not the compiler's"),
    'saved-frames-are-the-programs-not-the-compilers',
  );
  assert.deepEqual([...anchorsOf('# A b\ntext # no\n## `c`: d\n')], ['a-b', 'c-d']);
  assert.deepEqual(filesIn('`a/b.ts`, `node c.ts --x`, `d`'), ['a/b.ts', 'c.ts']);
});
