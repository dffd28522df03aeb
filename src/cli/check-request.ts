/**
 * What is asked when a program is started or taken in, before anything is done: from TypeScript, and from other processes, anything may
 * come. What goes on to the core makes sense.
 */
import { RIGHT } from '../abi/objects.ts';
import { EnvironmentError } from '../base/errors.ts';
import { FRAME_BYTES } from '../base/limits.ts';
import { parseAddress } from '../drivers/address.ts';
import { checkName } from './request.ts';
import type { DirGrant, GrantSource, ImportGrant, ImportOptions, RunRequest } from './types.ts';

const KINDS: readonly string[] = [
  'domain',
  'gate',
  'clock',
  'random',
  'served',
  'held',
  'granted',
  'sturdy',
] satisfies GrantSource['kind'][];

/** @throws EnvironmentError bad-argument, bad-name */
export function checkRequest(request: RunRequest): void {
  checkName(request.name);
  strings(request.arguments, 'arguments');
  strings(request.environment, 'environment');
  for (const entry of request.environment) {
    if (entry.indexOf('=') < 1) refuse(`environment: "${entry}" has no name`);
  }
  const { memoryLimitBytes: memory, outboxLimitBytes: outbox, cpuLimitMs: cpu } = request;
  if (memory !== null && !(Number.isSafeInteger(memory) && memory >= FRAME_BYTES)) {
    refuse(`the most memory is a whole number of bytes from ${FRAME_BYTES} up, not ${memory}`);
  }
  if (outbox !== null && !(Number.isSafeInteger(outbox) && outbox > 0)) {
    refuse(`the most waiting output is a whole number of bytes, not ${outbox}`);
  }
  if (cpu !== null && !(Number.isFinite(cpu) && cpu > 0)) {
    refuse(`the most processor time is a number of milliseconds, not ${cpu}`);
  }
  for (const list of [request.listen, request.connect]) {
    for (const text of strings(list, 'addresses')) {
      if (parseAddress(text) === undefined) {
        refuse(`"${text}" is not an address`, 'write it like 127.0.0.1:8080 or unix:PATH');
      }
    }
  }
  checkGranted(request);
}

/** The same of a program that comes from elsewhere. */
export function checkGranted({ dirs, grants, imports, isolation }: Omit<ImportOptions, 'name'>): void {
  dirs.forEach(checkDir);
  for (const grant of grants)
    if (grant !== 'compiler') refuse(`nothing is called "${grant}" that could be granted`);
  imports.forEach(checkImport);
  if (isolation !== 'space' && isolation !== 'process')
    refuse(`there is no isolation "${isolation}"`, 'space or process');
}

function checkDir({ host, guest, readOnly }: DirGrant): void {
  strings([host, guest], 'folders');
  if (!guest.startsWith('/'))
    refuse(`"${guest}" does not begin with /`, 'programs see folders at absolute paths');
  if (readOnly !== true && readOnly !== false) refuse(`a folder is to be read only or not, not ${readOnly}`);
}

/** @throws EnvironmentError bad-argument */
export function checkImport({ name, from, rights }: ImportGrant): void {
  strings([name], 'grants');
  if (!KINDS.includes(from?.kind)) refuse(`"${name}": nothing that can be granted`);
  for (const right of rights ?? [])
    if (!Object.hasOwn(RIGHT, right)) refuse(`"${name}": there is no right "${right}"`);
}

function strings(list: readonly string[], what: string): readonly string[] {
  const good = Array.isArray(list) && list.every((text) => typeof text === 'string' && !text.includes('\0'));
  if (!good) refuse(`${what} are texts without zero bytes`);
  return list;
}

function refuse(what: string, hint = ''): never {
  throw new EnvironmentError('bad-argument', what, hint);
}
