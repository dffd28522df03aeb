/** What is checked of a domain before there is one: its program, what it was granted, its name. */
import { COMPILER_MODULE } from '../abi/made.ts';
import type { EnvironmentCode } from '../base/codes.ts';
import { EnvironmentError } from '../base/errors.ts';
import { DOMAIN_NAME_MAX_BYTES } from '../base/limits.ts';
import type { Core } from './core.ts';
import type { LoadedModule } from './program.ts';
import type { DomainOptions } from './roster.ts';

/**
 * What a program must have been compiled with to be a domain: safepoints, or nothing could stop it, and, for one that
 * persists, marks on the pages it changes, or checkpoints would miss them.
 * @throws EnvironmentError
 */
export function checkFit({ evidence, hash }: LoadedModule, volatile: boolean): void {
  if (evidence.suspend && (evidence.track || volatile)) return;
  throw new EnvironmentError(
    'unfit-program',
    `the program ${hash} was compiled without ${evidence.suspend ? 'marks on what it changes' : 'safepoints'}`,
    'compile it for a domain, or make the domain volatile',
  );
}

/** Whether a program asks for the compiler. */
export const wantsCompiler = ({ info }: LoadedModule): boolean =>
  info.imports.some((item) => item.module === COMPILER_MODULE);

/**
 * Checks that a program has been granted what it wants, and may have it.
 * @throws EnvironmentError
 */
export function checkGrants(core: Core, options: DomainOptions): void {
  const { name, module, compiler = false, trapUnknownImports = false } = options;
  if (!wantsCompiler(module)) return;
  const refuse = (code: EnvironmentCode, what: string, hint: string): never => {
    throw new EnvironmentError(code, `${name}: ${what}`, hint);
  };
  if (!compiler) {
    if (trapUnknownImports) return;
    refuse(
      'not-granted',
      `the program wants the compiler (${COMPILER_MODULE})`,
      'grant it with --grant compiler',
    );
  }
  if (module.alone !== undefined) {
    refuse(
      'no-compiler',
      'a program in a process of its own cannot make code',
      'run it with --isolation space',
    );
  }
  if (core.loader === null) refuse('no-compiler', 'no program can make code here', '');
}

const encoder = new TextEncoder();
/** @throws EnvironmentError */
export function checkName(name: string, taken: boolean): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
  const bad = /[\x00-\x1f\x7f]/.test(name) || !name.isWellFormed();
  if (name === '' || bad || encoder.encode(name).length > DOMAIN_NAME_MAX_BYTES) {
    throw new EnvironmentError(
      'bad-name',
      `"${name}" cannot be the name of a domain`,
      `1 to ${DOMAIN_NAME_MAX_BYTES} bytes without control characters`,
    );
  }
  if (taken)
    throw new EnvironmentError(
      'name-taken',
      `there is a domain named "${name}" already`,
      'choose another name',
    );
}
