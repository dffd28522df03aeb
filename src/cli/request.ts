/**
 * From the options of `perdure run` to what is asked of the space. Everything a user can get wrong is checked here,
 * before a space is opened or a process asked: the program's file, granted folders, names, limits.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { EnvironmentError } from '../base/errors.ts';
import { DOMAIN_NAME_MAX_BYTES, FRAME_BYTES, MODULE_MAX_BYTES } from '../base/limits.ts';
import { parseAddress } from '../drivers/address.ts';
import type { Parsed } from './args.ts';
import { checkMapName } from './mappings.ts';
import { suggest } from './suggest.ts';
import type {
  DirGrant,
  GrantName,
  GrantSource,
  ImportGrant,
  Isolation,
  MapGrant,
  MapSource,
  RunRequest,
} from './types.ts';
import { parseSize, parseTime, showSize } from './units.ts';

/** The folder of the space a command works on, absolute. */
export function spaceFolder(parsed: Parsed): string {
  return resolve(parsed.values.get('space') ?? (process.env.PERDURE_SPACE || '.perdure'));
}

export function runRequest(parsed: Parsed): RunRequest {
  const [program, ...rest] = parsed.positionals;
  const name = parsed.values.get('name');
  if (name !== undefined) checkName(name);
  const memory = parsed.values.get('memory');
  const cpu = parsed.values.get('cpu');
  const outbox = parsed.values.get('outbox');
  const memoryLimitBytes = memory === undefined ? null : parseSize(memory, 'memory');
  if (memoryLimitBytes !== null && memoryLimitBytes < FRAME_BYTES) {
    throw new EnvironmentError('usage', `--memory: ${memory} is less than one page of memory (64K)`);
  }
  return {
    name: name ?? nameFromFile(program!),
    exact: name !== undefined,
    arguments: [basename(program!), ...rest],
    environment: (parsed.lists.get('env') ?? []).flatMap(environmentEntry),
    dirs: (parsed.lists.get('dir') ?? []).map(parseDir),
    listen: (parsed.lists.get('listen') ?? []).map((text) => checkAddress(text, 'listen')),
    connect: (parsed.lists.get('connect') ?? []).map((text) => checkAddress(text, 'connect')),
    memoryLimitBytes,
    outboxLimitBytes: outbox === undefined ? null : parseSize(outbox, 'outbox'),
    cpuLimitMs: cpu === undefined ? null : parseTime(cpu, 'cpu'),
    detached: parsed.flags.has('detach'),
    volatile: parsed.flags.has('volatile'),
    trapUnknownImports: parsed.flags.has('trap-unknown-imports'),
    ...grantsOf(parsed),
    maps: mapsOf(parsed),
    isolation: isolationOf(parsed),
  };
}

/** What can be granted that is no program: by its word on the command line. */
const GRANTABLE: Readonly<Record<string, GrantSource>> = {
  'host:clock': { kind: 'clock' },
  'host:random': { kind: 'random' },
};

/** `--grant compiler`, `--grant NAME=PROGRAM`, `--grant NAME=host:clock`, `--grant NAME=perdure:OBJECT:SECRET` */
export function grantsOf(parsed: Parsed): Pick<RunRequest, 'grants' | 'imports'> {
  const grants: GrantName[] = [];
  const imports: ImportGrant[] = [];
  for (const text of parsed.lists.get('grant') ?? []) {
    const equals = text.indexOf('=');
    if (equals > 0) imports.push({ name: text.slice(0, equals), from: sourceOf(text.slice(equals + 1)) });
    else if (text === 'compiler') grants.push(text);
    else {
      const meant = suggest(text, ['compiler']);
      const hint = meant === undefined ? 'write compiler, or NAME=PROGRAM' : `did you mean "${meant}"?`;
      throw new EnvironmentError('usage', `--grant: there is nothing called "${text}"`, hint);
    }
  }
  return { grants, imports };
}

/** What a capability is to: PROGRAM, PROGRAM#PROCEDURE, a sturdy reference, or something of the host. `what` asks for it. */
export function sourceOf(text: string, what = '--grant'): GrantSource {
  if (text.startsWith('perdure:')) return { kind: 'sturdy', text };
  if (!text.includes(':')) {
    const [name = '', procedure] = text.split('#', 2);
    return procedure === undefined ? { kind: 'domain', name } : { kind: 'gate', name, procedure };
  }
  const source = Object.hasOwn(GRANTABLE, text) ? GRANTABLE[text] : undefined;
  if (source !== undefined) return source;
  const meant = suggest(text, Object.keys(GRANTABLE));
  const hint =
    meant === undefined
      ? `a program's name, or ${Object.keys(GRANTABLE).join(', ')}`
      : `did you mean "${meant}"?`;
  throw new EnvironmentError('usage', `${what}: there is nothing called "${text}"`, hint);
}

/** `--map NAME=FILE[:ro]`, `--map NAME=new:SIZE`, `--map NAME=PROGRAM#SEGMENT[:ro]`, `--map NAME=perdure:OBJECT:SECRET[:ro]` */
function mapsOf(parsed: Parsed): MapGrant[] {
  const texts = parsed.lists.get('map') ?? [];
  if (texts.length > 0 && parsed.values.get('isolation') === 'process') {
    const hint = 'a process of its own has its own memory; leave one of the two out';
    throw new EnvironmentError('usage', '--map: not together with --isolation process', hint);
  }
  const names = new Set<string>();
  return texts.map((text) => {
    const match = /^([^=]+)=(.+?)(:ro)?$/s.exec(text);
    if (match === null) {
      const hint = 'to map a file as "words": --map words=FILE; new memory: --map words=new:64M';
      throw new EnvironmentError('usage', `--map: "${text}" is not NAME=WHAT[:ro]`, hint);
    }
    const [, name = '', what = '', mode] = match;
    checkMapName(name, names.has(name));
    names.add(name);
    return { name, from: mapSource(what), readOnly: mode !== undefined };
  });
}

function mapSource(what: string): MapSource {
  if (what.startsWith('new:')) return { kind: 'zeros', bytes: parseSize(what.slice(4), 'map') };
  if (what.startsWith('perdure:')) return { kind: 'segment', from: { kind: 'sturdy', text: what } };
  const hash = what.includes('/') ? -1 : what.indexOf('#');
  if (hash > 0) {
    return {
      kind: 'segment',
      from: { kind: 'granted', name: what.slice(0, hash), as: what.slice(hash + 1) },
    };
  }
  const path = resolve(what);
  try {
    if (!statSync(path).isFile()) throw new Error('it is not a file');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const hint = `a file, new:SIZE for new memory, PROGRAM#NAME for what a program has mapped, or a sturdy reference`;
    const why = missing ? 'there is none' : (error as Error).message;
    throw new EnvironmentError('usage', `--map: cannot map ${what}: ${why}`, hint);
  }
  return { kind: 'file', path };
}

/** `--isolation KIND` */
export function isolationOf(parsed: Parsed): Isolation {
  const kind = parsed.values.get('isolation') ?? 'space';
  if (kind === 'space' || kind === 'process') return kind;
  throw new EnvironmentError('usage', `--isolation: there is no kind "${kind}"`, 'space or process');
}

/** Names are for command lines and folders: letters, digits and a few signs, not beginning with a sign. */
export function checkName(name: string): void {
  if (
    typeof name !== 'string' ||
    !/^[\p{L}\p{N}][\p{L}\p{N}._+@-]*$/u.test(name) ||
    Buffer.byteLength(name) > DOMAIN_NAME_MAX_BYTES
  ) {
    throw new EnvironmentError(
      'bad-name',
      `"${name}" cannot be a name`,
      `letters, digits and . _ + @ - are allowed, at most ${DOMAIN_NAME_MAX_BYTES} bytes`,
    );
  }
}

function nameFromFile(file: string): string {
  const plain = basename(file)
    .replace(/\.wasm$/i, '')
    .replace(/[^\p{L}\p{N}._+@-]+/gu, '-')
    .replace(/^[^\p{L}\p{N}]+/u, '');
  const name = plain.slice(0, 24);
  return name === '' ? 'program' : name;
}

function environmentEntry(text: string): string[] {
  const equals = text.indexOf('=');
  if (text === '' || equals === 0 || text.includes('\0')) {
    throw new EnvironmentError('usage', `--env: "${text}" is not KEY=VALUE or KEY`);
  }
  if (equals > 0) return [text];
  const mine = process.env[text];
  return mine === undefined ? [] : [`${text}=${mine}`];
}

/** An address of a socket, made absolute where it is a path. */
function checkAddress(text: string, option: string): string {
  const address = parseAddress(text);
  if (address === undefined) {
    throw new EnvironmentError(
      'usage',
      `--${option}: "${text}" is not an address`,
      'write it like 127.0.0.1:8080 or unix:PATH',
    );
  }
  return 'path' in address ? `unix:${resolve(address.path)}` : text;
}

/** `HOST::GUEST[:ro]`; the host's folder must be there. */
export function parseDir(text: string): DirGrant {
  const match = /^(.+)::([^:]+)(?::(ro|rw))?$/s.exec(text);
  if (match === null) {
    throw new EnvironmentError(
      'usage',
      `--dir: "${text}" is not HOST::GUEST[:ro]`,
      `to grant ${text || '.'} as /data: --dir ${text.replace(/:.*/s, '') || '.'}::/data`,
    );
  }
  const [, host, guest, mode] = match;
  if (!guest!.startsWith('/')) {
    const hint = `the program sees it at an absolute path: --dir ${host}::/${guest}`;
    throw new EnvironmentError('usage', `--dir: "${guest}" does not begin with /`, hint);
  }
  let real: string;
  try {
    real = realpathSync(host!);
    if (!statSync(real).isDirectory()) throw new Error('it is not a folder');
  } catch (error) {
    const why =
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is none' : (error as Error).message;
    throw new EnvironmentError(
      'usage',
      `--dir: cannot grant ${host}: ${why}`,
      'it must be a folder that exists',
    );
  }
  return { host: real, guest: guest!, readOnly: mode === 'ro' };
}

/** The program's bytes. What is plainly no program is refused here with the likely reason. */
export function readProgram(file: string): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new EnvironmentError('no-program', `there is no file ${file}`);
    }
    if (code === 'EISDIR') throw new EnvironmentError('not-a-program', `${file} is a folder, not a program`);
    throw new EnvironmentError('no-program', `cannot read ${file}: ${(error as Error).message}`);
  }
  checkMagic(bytes, file);
  if (bytes.length > MODULE_MAX_BYTES) {
    const most = showSize(MODULE_MAX_BYTES);
    throw new EnvironmentError(
      'not-a-program',
      `${file} is larger than ${most}, the most a program may have`,
    );
  }
  return bytes;
}

function checkMagic(bytes: Uint8Array, file: string): void {
  const words = [...bytes.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  if (words === '0061736d01000000') return;
  const refuse = (why: string, hint = '') => new EnvironmentError('not-a-program', `${file} ${why}`, hint);
  if (bytes.length === 0) throw refuse('is empty');
  if (words === '0061736d0d000100') {
    throw refuse(
      'is a WebAssembly component, not a module',
      'build it for wasm32-wasip1, or unpack its core module',
    );
  }
  if (words.startsWith('0061736d')) throw refuse('is of a version of WebAssembly that does not exist yet');
  if (/^\s*(\(module|\(component|;;)/.test(new TextDecoder().decode(bytes.subarray(0, 200)))) {
    throw refuse('is WebAssembly text', 'make a binary of it first, with wat2wasm');
  }
  if (words.startsWith('7f454c46')) {
    throw refuse('is a program for this machine, not WebAssembly', 'build it for the target wasm32-wasip1');
  }
  throw refuse('is not a WebAssembly program');
}
