/**
 * The programs of the kill test, with what each is given: arguments, standard input, and the files it leaves in its
 * folder. Each runs for a second or two, so that a kill can hit it anywhere, and each is deterministic, so that what it
 * leaves behind can be compared byte for byte.
 *
 *   for (const victim of VICTIMS) { const missing = await unavailable(victim.guest); ... }
 *
 * `expected(victim, input, folder)` is what the program does when nothing of this project has a hand in it: the same
 * bytes on plain V8 with Node's own WASI. Never take a run of ours for the standard that ours is held against.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { canBuild, guest } from '../guests/build.ts';
import { EnvironmentError } from '../src/base/errors.ts';
import { Prng } from '../src/base/prng.ts';

export interface Victim {
  /** Its name in the space and in reports. */
  readonly name: string;
  readonly guest: string;
  readonly arguments: readonly string[];
  /** What its standard input holds; a regular file, also after a kill. */
  readonly input?: string;
  /** Files it leaves, which are compared byte for byte: of its own folder, or of HOST_GRANT. */
  readonly files: readonly string[];
  /** A folder of the host is granted to it as HOST_GRANT. */
  readonly host?: true;
  /** It makes code while it runs. */
  readonly compiler?: true;
  /** Programs that are there before it, which it is granted under their names; only their procedures are used. */
  readonly partners?: readonly string[];
  /** Where plain V8 cannot run it: what it prints, worked out here. It ends with 0 and leaves no files. */
  readonly prints?: () => readonly string[];
}

/** Everything that can be seen of a run from outside. */
export interface Seen {
  readonly code: number | null;
  readonly output: Buffer;
  readonly files: ReadonlyMap<string, Buffer>;
}

/** Where programs see the folder of the host that is granted to them. */
export const HOST_GRANT = '/data';
const PLAIN = join(import.meta.dirname, 'kill-plain.ts');

const WORDS =
  'memory pages and frames of a stack come back from the disk as they were when somebody pulled the plug again'.split(
    ' ',
  );

/** Some minutes of speech, always the same. */
function speech(sentences: number): string {
  const random = new Prng(7);
  return Array.from({ length: sentences }, (_, i) => {
    const words = Array.from({ length: 6 + random.below(12) }, () => random.pick(WORDS));
    return `Number ${i + 1}: ${words.join(' ')}.`;
  }).join(' ');
}

/** Creates, fills, changes, queries and vacuums a database, and ends with a code of its own. */
const SQL = `
PRAGMA page_size = 1024;
CREATE TABLE part(id INTEGER PRIMARY KEY, name TEXT NOT NULL, weight REAL, maker INTEGER);
CREATE TABLE maker(id INTEGER PRIMARY KEY, town TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
  INSERT INTO maker SELECT i, 'town ' || (i * 7919 % 101) FROM n;
${Array.from(
  { length: 12 },
  (_, round) => `
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
  INSERT INTO part(name, weight, maker)
  SELECT printf('part %d of %d: %s', i, ${round}, hex(i * 104729 % 65537)), i * 1.25 + ${round}, 1 + i % 40 FROM n;
COMMIT;
UPDATE part SET weight = weight * 1.5, name = name || ' again' WHERE id % 11 = ${round % 11};
SELECT ${round}, count(*), round(sum(weight), 3), max(name) FROM part;
`,
).join('')}
CREATE INDEX part_name ON part(name);
CREATE INDEX part_maker ON part(maker, weight);
SELECT town, count(*), round(avg(weight), 4) FROM part JOIN maker ON maker.id = part.maker GROUP BY town ORDER BY 3, 1;
BEGIN; DELETE FROM part; SELECT count(*) FROM part; ROLLBACK;
DELETE FROM part WHERE id % 3 = 0;
SELECT count(*) FROM part;
VACUUM;
PRAGMA integrity_check;
SELECT id, name, weight FROM part WHERE name LIKE 'part 2__ of 7:%' ORDER BY weight DESC LIMIT 40;
.exit 3
`;

const INPUT_LINES = 60_000;
const inputText = (): string =>
  Array.from({ length: INPUT_LINES }, (_, i) => `${i} ${WORDS[i % WORDS.length]!.repeat(i % 7)}\n`).join('');

const EXPRESSIONS = [
  '7(7|8)*9',
  '(when|some)+.*body$',
  'f(r|o)+m\\w*',
  '^[^aeiou]*$',
  '(as)+$',
  '1[0-9]+1 .*dd',
];

const FACTOR = 6364136223846793005n;
const POSTS = 1_000_000;
const ASKED = 20_000;
const THOUSANDS = 2000;

/** A line for each so many numbers: how many there were, and a number made of all of them. */
function summed(numbers: number, each: number, verb: string): string[] {
  const lines: string[] = [];
  let hash = 0n;
  for (let n = 1; n <= numbers; n++) {
    hash = BigInt.asUintN(64, hash * FACTOR + BigInt(n));
    if (n % each === 0) lines.push(`${n} ${verb}: ${hash.toString(16).padStart(16, '0')}`);
  }
  return lines;
}

/** The longest Collatz sequences of guests/c/workers.c. */
export function longest(thousands: number): string[] {
  const lines: string[] = [];
  let [best, most] = [0, 0];
  for (let start = 1; start <= 1000 * thousands; start++) {
    let steps = 0;
    for (let n = start; n !== 1; n = n % 2 === 0 ? n / 2 : 3 * n + 1) steps++;
    if (steps > most) [best, most] = [start, steps];
    if (start % 100_000 === 0) lines.push(`up to ${start}: ${best}, ${most} steps`);
  }
  return [...lines, `longest: ${best}, ${most} steps`];
}
const speaks = (file: string): string[] => ['-t', speech(100), '-o', file];

export const VICTIMS: readonly Victim[] = [
  { name: 'flite', guest: 'flite', arguments: speaks('/speech.wav'), files: ['/speech.wav'] },
  {
    name: 'flite-host',
    guest: 'flite',
    arguments: speaks('/data/speech.wav'),
    files: ['/data/speech.wav'],
    host: true,
  },
  { name: 'sqlite', guest: 'sqlite3', arguments: ['/parts.db'], input: SQL, files: ['/parts.db'] },
  {
    name: 'sqlite-host',
    guest: 'sqlite3',
    arguments: ['/data/parts.db'],
    input: SQL,
    files: ['/data/parts.db'],
    host: true,
  },
  { name: 'deep', guest: 'deep', arguments: ['10000', '300000'], files: [] },
  { name: 'fnptr', guest: 'fnptr', arguments: ['600'], files: [] },
  { name: 'longloop', guest: 'longloop', arguments: ['8', '20'], files: [] },
  { name: 'lines', guest: 'lines', arguments: ['4000', '500'], files: [] },
  { name: 'cat', guest: 'cat', arguments: [], input: inputText(), files: [] },
  {
    name: 'regex',
    guest: 'regex',
    arguments: ['-', ...EXPRESSIONS, '-n', '40'],
    input: inputText(),
    files: [],
    compiler: true,
  },
  {
    name: 'clerk',
    guest: 'clerk',
    arguments: [`${POSTS}`],
    files: [],
    partners: ['ledger'],
    prints: () => summed(POSTS, 20_000, 'posted'),
  },
  {
    name: 'teller',
    guest: 'teller',
    arguments: [`${ASKED}`],
    files: [],
    prints: () => [...summed(ASKED, 1000, 'asked'), `rung ${ASKED} times, 0 left, 0 wrong`],
  },
  {
    name: 'workers',
    guest: 'workers',
    arguments: ['3', `${THOUSANDS}`],
    files: [],
    prints: () => longest(THOUSANDS),
  },
];

/** Nothing where the program can be had here, else why not. Where CI is set, what cannot be had is an error. */
export async function unavailable(name: string): Promise<string | undefined> {
  const missing = canBuild(name);
  if (missing !== undefined) return missing;
  try {
    await guest(name);
  } catch (error) {
    if (process.env.CI || !(error instanceof EnvironmentError)) throw error;
    return error.message;
  }
  return undefined;
}

/** The victim's standard input as a file of this folder; undefined where it has none. */
export function inputFile(victim: Victim, folder: string): string | undefined {
  if (victim.input === undefined) return undefined;
  const path = join(folder, `${victim.name}.in`);
  writeFileSync(path, victim.input);
  return path;
}

/** What an undisturbed run on plain V8 leaves behind. */
export async function expected(victim: Victim, folder: string): Promise<Seen> {
  if (victim.prints !== undefined) {
    const text = victim.prints().map((line) => `${line}\n`);
    return { code: 0, output: Buffer.from(text.join('')), files: new Map() };
  }
  const home = join(folder, `${victim.name}-plain`);
  const input = inputFile(victim, folder);
  const { code, output } = await runPlain(await guest(victim.guest), victim.arguments, home, input);
  const files = victim.files.map((path) => [path, readFileSync(join(home, basename(path)))] as const);
  return { code, output, files: new Map(files) };
}

/** Runs a program on plain V8; `home`, which is made, is its `/`. The input is a file, or empty. */
export async function runPlain(
  program: string,
  args: readonly string[],
  home: string,
  input?: string,
): Promise<{ code: number; output: Buffer }> {
  mkdirSync(home, { recursive: true });
  const file = `${home}.out`;
  const stdin = input === undefined ? 'ignore' : openSync(input, 'r');
  const stdout = openSync(file, 'w');
  const child = spawn(process.execPath, [PLAIN, program, home, ...args], { stdio: [stdin, stdout, 'pipe'] });
  closeSync(stdout);
  if (stdin !== 'ignore') closeSync(stdin);
  let said = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code === null || code > 3) throw new Error(`${program} on plain V8 ended with ${code}: ${said}`);
  return { code, output: readFileSync(file) };
}
