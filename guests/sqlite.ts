/**
 * SQLite's shell as a WASI command, made here out of Debian's source package `sqlite3`; nothing of SQLite is in this
 * repository. The package's source lists of the system are left alone: `apt-get source` runs on a list of its own
 * (the Debian mirrors the system already uses, as deb-src) with its state in a private folder.
 *
 * Steps: fetch the source package, unpack it with Debian's patches, make the amalgamation (wants tclsh, make and a
 * native C compiler, which clang is), compile it with the shims of guests/sqlite. Fetching needs the network once;
 * the unpacked amalgamation stays in guests/built/.sqlite and later builds start from it.
 *
 * Needs the packages clang lld wasi-libc libclang-rt-dev-wasm32 tcl dpkg-dev. What is missing is said in an
 * EnvironmentError with code E_SQLITE.
 */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { EnvironmentError } from '../src/base/errors.ts';
import { cached, clang, keyOf, missingClang } from './toolchain.ts';

const here = import.meta.dirname;
const shims = join(here, 'sqlite');
const store = join(here, 'built', '.sqlite');
const amalgamation = join(store, 'amalgamation');

const DEFINES = [
  '_WASI_EMULATED_SIGNAL',
  '_WASI_EMULATED_GETPID',
  '_WASI_EMULATED_PROCESS_CLOCKS',
  '_WASI_EMULATED_MMAN',
  'SQLITE_THREADSAFE=0',
  'SQLITE_OMIT_LOAD_EXTENSION',
  'SQLITE_OMIT_WAL=1', // wants shared mappings
  'SQLITE_MAX_MMAP_SIZE=0',
  'SQLITE_OMIT_POPEN',
  'SQLITE_NOHAVE_SYSTEM',
  'SQLITE_ENABLE_FTS5',
  'SQLITE_ENABLE_RTREE',
  'SQLITE_ENABLE_MATH_FUNCTIONS',
];
const FLAGS = [
  `-I${shims}`,
  `-I${amalgamation}`,
  '-include',
  'shim.h',
  '-w', // not our code, not our warnings
  ...DEFINES.map((d) => `-D${d}`),
  '-Wl,--strip-debug',
  '-Wl,--stack-first',
  '-Wl,-z,stack-size=4194304',
  '-lwasi-emulated-signal',
  '-lwasi-emulated-getpid',
  '-lwasi-emulated-process-clocks',
  '-lwasi-emulated-mman',
  '-lm',
];

/** Nothing where everything is here, else what is missing. */
function missing(): string | undefined {
  const noClang = missingClang();
  if (noClang || existsSync(join(amalgamation, 'shell.c'))) return noClang;
  for (const [tool, debian] of [
    ['apt-get', 'apt'],
    ['dpkg-source', 'dpkg-dev'],
    ['make', 'make'],
    ['tclsh', 'tcl'],
  ] as const)
    if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0)
      return `${tool} is not installed (apt-get install ${debian})`;
  return undefined;
}

async function run(command: string, args: readonly string[], cwd: string): Promise<void> {
  try {
    await promisify(execFile)(command, [...args], { cwd, maxBuffer: 1 << 26, timeout: 300_000 });
  } catch (error) {
    const text = (error as { stderr?: string }).stderr || String(error);
    throw new EnvironmentError(
      'tools',
      `${command} ${args.at(-1)} failed: ${text.trim().split('\n').slice(-5).join(' | ')}`,
      'the source package of sqlite3 is fetched from a Debian mirror',
    );
  }
}

/** The mirrors and suites of this system's Debian lists, as deb-src lines. */
function sourceLines(): string {
  const mirrors = new Set<string>();
  const folder = '/etc/apt/sources.list.d';
  const files = existsSync(folder) ? readdirSync(folder).map((f) => join(folder, f)) : [];
  for (const file of ['/etc/apt/sources.list', ...files]) {
    if (!existsSync(file)) continue;
    const text = readFileSync(file, 'utf8');
    for (const m of text.matchAll(/^deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s/gm))
      if (/\/debian\/?$/.test(m[1]!)) mirrors.add(`${m[1]} ${m[2]}`);
    for (const stanza of text.split(/\n\s*\n/)) {
      const uri = /^URIs:\s*(\S+)/m.exec(stanza)?.[1];
      const suite = /^Suites:\s*(\S+)/m.exec(stanza)?.[1];
      if (uri && suite && /\/debian\/?$/.test(uri)) mirrors.add(`${uri} ${suite}`);
    }
  }
  const found = mirrors.size > 0 ? [...mirrors] : ['http://deb.debian.org/debian stable'];
  return found.map((m) => `deb-src ${m} main\n`).join('');
}

/** Fetches, unpacks and makes sqlite3.c, sqlite3.h and shell.c; all or nothing. */
async function makeAmalgamation(): Promise<void> {
  const work = join(store, `work-${process.pid}`);
  rmSync(work, { recursive: true, force: true });
  for (const folder of ['lists/partial', 'cache/archives/partial', 'source', 'make'])
    mkdirSync(join(work, folder), { recursive: true });
  try {
    const list = join(work, 'sources.list');
    writeFileSync(list, sourceLines());
    const apt = [
      `Dir::Etc::sourcelist=${list}`,
      'Dir::Etc::sourceparts=-',
      `Dir::State::Lists=${join(work, 'lists')}`,
      `Dir::Cache=${join(work, 'cache')}`,
      'APT::Get::List-Cleanup=0',
      'APT::Sandbox::User=root',
    ].flatMap((o) => ['-o', o]);
    const source = join(work, 'source');
    await run('apt-get', [...apt, 'update'], source);
    await run('apt-get', [...apt, 'source', '--download-only', 'sqlite3'], source);
    const description = readdirSync(source).find((f) => f.endsWith('.dsc'));
    if (!description) throw new EnvironmentError('tools', 'the source package of sqlite3 did not arrive');
    await run('dpkg-source', ['--no-check', '-x', description, 'tree'], source);
    const make = ['-f', '../source/tree/main.mk', 'TOP=../source/tree', 'BCC=clang', 'TCC=clang', 'NAWK=awk'];
    await run('make', [...make, 'sqlite3.c', 'shell.c', 'sqlite3.h'], join(work, 'make'));
    const ready = join(work, 'ready');
    mkdirSync(ready);
    for (const file of ['sqlite3.c', 'sqlite3.h', 'shell.c'])
      renameSync(join(work, 'make', file), join(ready, file));
    if (!existsSync(amalgamation)) renameSync(ready, amalgamation);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The path of sqlite3.wasm, made now if it must be. */
export async function buildSqlite(): Promise<string> {
  const lacking = missing();
  if (lacking) throw new EnvironmentError('tools', lacking, 'SQLite is built from the Debian source package');
  if (!existsSync(join(amalgamation, 'shell.c'))) await makeAmalgamation();
  const files = ['sqlite3.c', 'shell.c'].map((f) => join(amalgamation, f));
  const sources = [...files, join(shims, 'shim.c')];
  const key = keyOf(FLAGS, [...sources, join(shims, 'shim.h'), join(shims, 'pwd.h')]);
  return cached('sqlite3', key, async (path) => {
    await clang([...sources, ...FLAGS, '-o', path]);
    return undefined;
  });
}
