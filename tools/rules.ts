/**
 * The rules of the design that no compiler checks, run by `npm run ok`: who may import whom, where `node:*` may be
 * used, that each file says what it is, and how large files and functions may be. Exceptions to sizes are listed in
 * `tools/sizes.json` and may only fall (the ratchet): `node tools/rules.ts --lower` lowers them to what is there.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const SIZES = join(ROOT, 'tools', 'sizes.json');
export const FILE_LINES = 450;
export const FUNCTION_LINES = 70;

interface Layer {
  /** Layers it may import; its own always. */
  readonly may: readonly string[];
  /** Layers of which it may import types only. */
  readonly types?: readonly string[];
  /** Files of other layers it may import whole. */
  readonly files?: RegExp;
  readonly node?: boolean;
  /** Packages it may import. */
  readonly packages?: readonly string[];
}

/** The layers of ARCHITECTURE.md. `top` is src/index.ts; folders outside src are composition roots as well. */
const LAYERS: Record<string, Layer> = {
  base: { may: [] },
  abi: { may: ['base'] },
  wasm: { may: ['base', 'abi'] },
  compiler: { may: ['base', 'abi', 'wasm'] },
  debug: { may: ['base', 'abi', 'wasm'], packages: ['@jridgewell/trace-mapping'] },
  verifier: { may: ['base', 'abi'] },
  space: { may: ['base', 'abi'] },
  store: { may: ['base', 'abi'] },
  kernel: { may: ['base', 'abi', 'verifier', 'space'], types: ['store'] },
  personalities: { may: ['base', 'abi', 'kernel', 'space'] },
  drivers: {
    may: ['base', 'abi', 'space'],
    types: ['kernel', 'store'],
    // The ports, and the queue of what has been said: the kernel's state that drivers serve.
    files: /^src\/kernel\/(ports|enclosure|outbox[-\w]*)\.ts$/,
    node: true,
  },
};
/** Files that may use what their layer may not, each with its reason. */
const NODE_FILES: Record<string, string> = {
  'src/store/engine-lmdb.ts': "the store's engine adapter",
};
const ROOTS = ['cli', 'library', 'cluster', 'console', 'top'];

export interface Breach {
  readonly file: string;
  readonly line: number;
  readonly rule: string;
}

interface Import {
  readonly from: string;
  readonly line: number;
  readonly typeOnly: boolean;
}

/** Every import and re-export of a source text, dynamic ones included. */
export function importsOf(text: string): Import[] {
  const found: Import[] = [];
  const pattern =
    /^[ \t]*(?:import|export)\b([^'";]*?)\bfrom\s*['"]([^'"]+)['"]|^[ \t]*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;
  for (const match of text.matchAll(pattern)) {
    const names = match[1] ?? '';
    const inner = /\{([^}]*)\}/.exec(names)?.[1];
    const listed = inner?.split(',').filter((name) => name.trim() !== '') ?? [];
    const typeOnly =
      /^\s+type\b/.test(names) ||
      (listed.length > 0 && listed.every((name) => /^\s*type\s/.test(name)) && /^\s*\{/.test(names));
    const line = text.slice(0, match.index).split('\n').length;
    found.push({ from: match[2] ?? match[3] ?? match[4]!, line, typeOnly });
  }
  return found;
}

/** Tests, and what only they use (`x.testing.ts`, `testing.ts`, `testing/`): they may import anything. */
function isTest(file: string): boolean {
  return /\.test(ing)?\.ts$|\/testing(\.ts$|\/)/.test(file);
}

/** The layer of a file given relative to the root: the folder below src, 'top' for src/index.ts. */
function layerOf(file: string): string | undefined {
  const parts = file.split('/');
  if (parts[0] !== 'src') return undefined;
  return parts.length === 2 ? 'top' : parts[1];
}

/** Imports of one file that break the design. Tests may import anything. */
export function importBreaches(file: string, text: string): Breach[] {
  const layer = layerOf(file);
  if (layer === undefined || isTest(file) || ROOTS.includes(layer)) return [];
  const rules = LAYERS[layer];
  if (rules === undefined) return [{ file, line: 1, rule: `src/${layer} is no layer of the design` }];
  const breaches: Breach[] = [];
  for (const { from, line, typeOnly } of importsOf(text)) {
    const add = (rule: string) => breaches.push({ file, line, rule });
    if (!from.startsWith('.')) {
      if (NODE_FILES[file] !== undefined || rules.node || rules.packages?.includes(from)) continue;
      add(`${layer} may not import ${from}`);
      continue;
    }
    const target = relative(ROOT, join(ROOT, dirname(file), from))
      .split(sep)
      .join('/');
    const other = layerOf(target);
    if (other === layer) continue;
    if (other === undefined || ROOTS.includes(other)) add(`${layer} may not import ${target}`);
    else if (rules.may.includes(other) || rules.files?.test(target)) continue;
    else if (rules.types?.includes(other) && typeOnly) continue;
    else if (rules.types?.includes(other)) add(`${layer} may import only types from ${other}`);
    else add(`${layer} may not import ${other}`);
  }
  return breaches;
}

/** Lines of the longest function of a formatted source, with its line; blocks are matched by indentation. */
export function longestFunction(text: string): { lines: number; at: number } {
  const lines = text.split('\n');
  const opens =
    /^( *)(?:export )?(?:default )?(?:async )?(?:function\b|(?:(?:public|private|protected|static|override|async|get|set) )*[*#\w]+(?:<[^>]*>)?\(|.*=> ?\{$|\)?.*\) ?(?:: .*)? ?\{$)/;
  const notFunctions =
    /^ *(?:if|for|while|switch|else|try|catch|\} ?(?:else|catch|finally)|do|class|return)\b/;
  let longest = { lines: 0, at: 0 };
  for (let start = 0; start < lines.length; start++) {
    const line = lines[start]!;
    if (!line.endsWith('{') || !opens.test(line) || notFunctions.test(line)) continue;
    const indent = /^ */.exec(line)![0];
    let end = start + 1;
    while (end < lines.length && !lines[end]!.startsWith(`${indent}}`)) end++;
    if (isTestBlock(line)) continue;
    if (end - start + 1 > longest.lines) longest = { lines: end - start + 1, at: start + 1 };
  }
  return longest;
}

function isTestBlock(line: string): boolean {
  return /^ *(?:describe|suite)\(/.test(line);
}

/** Size breaches of one file against its listed exception. A test is as long as its story. */
export function sizeBreaches(file: string, text: string, listed: Record<string, number>): Breach[] {
  const breaches: Breach[] = [];
  const lines = text.split('\n').length - 1;
  const most = listed[file] ?? FILE_LINES;
  if (lines > most) breaches.push({ file, line: lines, rule: `${lines} lines; at most ${most}` });
  if (isTest(file)) return breaches;
  const { lines: length, at } = longestFunction(text);
  const longest = listed[`${file}()`] ?? FUNCTION_LINES;
  if (length > longest)
    breaches.push({ file, line: at, rule: `a function of ${length} lines; at most ${longest}` });
  return breaches;
}

/** Every file opens with a comment that says what it is. */
export function contractBreaches(file: string, text: string): Breach[] {
  const body = text.startsWith('#!') ? text.slice(text.indexOf('\n') + 1) : text;
  if (isTest(file) || body.startsWith('/**')) return [];
  return [{ file, line: 1, rule: 'does not open with a comment that says what it is' }];
}

/** Where the verifier begins: what these import, and so on, is all that has to be trusted of it. */
const VERIFIER = ['src/verifier/verify.ts', 'src/verifier/resume.ts'];

/** The files of the verifier, those included that it imports from other layers, be it types alone. */
export function verifierFiles(texts: ReadonlyMap<string, string>): string[] {
  const found = new Set<string>();
  const visit = (file: string): void => {
    if (found.has(file)) return;
    found.add(file);
    for (const { from } of importsOf(texts.get(file) ?? '')) visit(join(dirname(file), from));
  };
  VERIFIER.forEach(visit);
  return [...found].sort();
}

/** Lines of a formatted source that are neither blank nor comments. */
export function codeLines(text: string): number {
  const lines = text.replace(/\/\*[\s\S]*?\*\//g, '').split('\n');
  return lines.filter((line) => line.trim() !== '' && !line.trim().startsWith('//')).length;
}

/** Most lines of code of the verifier itself, and with all it imports: it is to be read in one sitting. */
export const VERIFIER_LINES = 2000;
export const TRUSTED_LINES = 2700;

export function verifierBreaches(own: number, all: number): Breach[] {
  const breach = (rule: string): Breach => ({ file: VERIFIER[0]!, line: 1, rule });
  return [
    ...(own > VERIFIER_LINES ? [breach(`the verifier: ${own} lines; at most ${VERIFIER_LINES}`)] : []),
    ...(all > TRUSTED_LINES ? [breach(`it and its imports: ${all} lines; at most ${TRUSTED_LINES}`)] : []),
  ];
}

function sources(folder: string): string[] {
  if (!existsSync(join(ROOT, folder))) return [];
  const found: string[] = [];
  for (const name of readdirSync(join(ROOT, folder)).sort()) {
    const path = `${folder}/${name}`;
    if (name === 'node_modules' || name === 'built' || name.startsWith('.')) continue;
    if (statSync(join(ROOT, path)).isDirectory()) found.push(...sources(path));
    else if (/\.(ts|mjs)$/.test(name)) found.push(path);
  }
  return found;
}

/** The exceptions as they are now, never larger than they were. */
function lowered(listed: Record<string, number>, texts: Map<string, string>): Record<string, number> {
  const next: Record<string, number> = {};
  for (const [key, most] of Object.entries(listed)) {
    const text = texts.get(key.replace(/\(\)$/, ''));
    if (text === undefined) continue;
    const now = key.endsWith('()') ? longestFunction(text).lines : text.split('\n').length - 1;
    const usual = key.endsWith('()') ? FUNCTION_LINES : FILE_LINES;
    if (now > usual) next[key] = Math.min(most, now);
  }
  return next;
}

function main(): void {
  const listed: Record<string, number> = existsSync(SIZES) ? JSON.parse(readFileSync(SIZES, 'utf8')) : {};
  const texts = new Map<string, string>();
  for (const folder of ['src', 'bin', 'tools', 'bench', 'guests', 'conformance', 'examples']) {
    for (const file of sources(folder)) texts.set(file, readFileSync(join(ROOT, file), 'utf8'));
  }
  const verifier = verifierFiles(texts);
  const count = (files: string[]): number =>
    files.reduce((sum, file) => sum + codeLines(texts.get(file)!), 0);
  const [own, all] = [count(verifier.filter((file) => layerOf(file) === 'verifier')), count(verifier)];
  if (process.argv.includes('--lower')) {
    writeFileSync(SIZES, `${JSON.stringify(lowered(listed, texts), null, 2)}\n`);
  }
  const breaches: Breach[] = [];
  for (const [file, text] of texts) {
    breaches.push(...importBreaches(file, text), ...contractBreaches(file, text));
    breaches.push(...sizeBreaches(file, text, listed));
  }
  breaches.push(...verifierBreaches(own, all));
  for (const { file, line, rule } of breaches) process.stderr.write(`${file}:${line}: ${rule}\n`);
  console.log(`verifier: ${own} lines of code, ${all} with all it imports, in ${verifier.length} files`);
  console.log(`rules: ${texts.size} files, ${breaches.length} breaches`);
  process.exitCode = breaches.length === 0 ? 0 : 1;
}

if (import.meta.main) main();
