/**
 * What building a guest takes, whatever it is written in: finding clang and rustc, calling them, and keeping results by the hash
 * of what went into them. For build.ts and sqlite.ts; everybody else calls `guest` of build.ts.
 */
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { EnvironmentError } from '../src/base/errors.ts';

const here = import.meta.dirname;
/** Where built guests lie. */
export const BUILT = join(here, 'built');
/** The flags of every guest in C. */
export const C_FLAGS = [
  '--target=wasm32-wasi',
  '--sysroot=/usr',
  '-O2',
  '-Wall',
  '-Wextra',
  '-Wno-unused-result',
];

let version: string | undefined;
/** The first line of `clang --version`, or '' where there is none. */
export function clangVersion(): string {
  version ??= answer('clang', '--version').split('\n', 1)[0]!;
  return version;
}

/** Nothing where C can be built here, else what is missing and how to get it. */
export function missingClang(): string | undefined {
  const wants = 'apt-get install clang lld wasi-libc libclang-rt-dev-wasm32';
  if (clangVersion() === '') return `clang is not installed (${wants})`;
  if (!existsSync('/usr/lib/wasm32-wasi/libc.a')) return `wasi-libc is not installed (${wants})`;
  if (spawnSync('wasm-ld', ['--version']).status !== 0) return `lld is not installed (${wants})`;
  return undefined;
}

/** The flags of every guest in Rust. */
export const RUST_FLAGS = ['--edition=2021', '-O', '-C', 'strip=debuginfo'];

/** A rustc that has the library for a WASI target. */
export interface Rust {
  readonly path: string;
  readonly version: string;
  readonly target: string;
}
let rust: Rust | null | undefined;

/** What a command prints, trimmed; '' where it fails. */
function answer(command: string, ...args: readonly string[]): string {
  const run = spawnSync(command, args, { encoding: 'utf8' });
  return run.status === 0 ? run.stdout.trim() : '';
}

/** The first such rustc of the PATH, null where there is none: rustup's often has no library but the host's. */
export function findRust(): Rust | null {
  if (rust !== undefined) return rust;
  rust = null;
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, 'rustc');
    if (!existsSync(path)) continue;
    for (const target of ['wasm32-wasip1', 'wasm32-wasi']) {
      const library = answer(path, '--print', 'target-libdir', '--target', target);
      if (library === '' || !existsSync(library)) continue;
      rust = { path, version: answer(path, '--version'), target };
      return rust;
    }
  }
  return rust;
}

/** Nothing where Rust can be built here, else what is missing and how to get it. */
export function missingRust(): string | undefined {
  return findRust() === null
    ? 'no rustc with its library for WASI is installed (apt-get install rustc libstd-rust-dev-wasm32 lld)'
    : undefined;
}

/** Runs rustc; its messages become the error. */
export async function rustc(args: readonly string[]): Promise<void> {
  const { path, target } = findRust()!;
  try {
    await promisify(execFile)(path, [...RUST_FLAGS, '--target', target, ...args], { env: withoutNpm() });
  } catch (error) {
    const text = (error as { stderr?: string }).stderr ?? String(error);
    throw new EnvironmentError('tools', `rustc failed:\n${text}`);
  }
}

/**
 * The environment without the tools of node_modules. Under npm they are on the PATH, and clang, when it finds Binaryen's
 * wasm-opt there, lets it finish the program: other code than elsewhere, and the names are gone.
 */
function withoutNpm(): NodeJS.ProcessEnv {
  const { PATH = '' } = process.env;
  const path = PATH.split(delimiter).filter((folder) => !folder.includes('node_modules'));
  return { ...process.env, PATH: path.join(delimiter) };
}

/** Writes so that no other process ever sees half a file. */
export function writeAtomically(path: string, bytes: Uint8Array | string): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.${Math.floor(performance.now() * 1000)}.tmp`;
  writeFileSync(temporary, bytes);
  renameSync(temporary, path);
}

/**
 * Makes `built/NAME.wasm` by calling `make` unless it is there with the same key. `make` gets a path to write to or
 * returns the bytes.
 */
export async function cached(
  name: string,
  key: string,
  make: (path: string) => Promise<Uint8Array | undefined>,
): Promise<string> {
  const out = join(BUILT, `${name}.wasm`);
  const keyFile = join(BUILT, `${name}.key`);
  if (existsSync(out) && existsSync(keyFile) && readFileSync(keyFile, 'utf8') === key) return out;
  mkdirSync(dirname(out), { recursive: true });
  const temporary = `${out}.${process.pid}.tmp`;
  try {
    const bytes = await make(temporary);
    if (bytes) writeFileSync(temporary, bytes);
    rmSync(keyFile, { force: true });
    renameSync(temporary, out);
  } finally {
    rmSync(temporary, { force: true });
  }
  writeAtomically(keyFile, key);
  return out;
}

/** A key out of strings and of the bytes of files. */
export function keyOf(words: readonly string[], files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const word of words) hash.update(`${word}\0`);
  for (const file of files) hash.update(readFileSync(file)).update('\0');
  return hash.digest('hex');
}

/** Runs clang; its messages become the error. `args` are after the flags of all C guests. */
export async function clang(args: readonly string[], cwd: string = here): Promise<void> {
  try {
    await promisify(execFile)('clang', [...C_FLAGS, ...args], { cwd, maxBuffer: 1 << 26, env: withoutNpm() });
  } catch (error) {
    const text = (error as { stderr?: string }).stderr ?? String(error);
    throw new EnvironmentError('tools', `clang failed:\n${text}`, 'is this clang 14 or later?');
  }
}
