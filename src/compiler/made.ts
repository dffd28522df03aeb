/**
 * Compiles code that a program hands over at run time (abi/made.ts): what the kernel is given as its port for that. The
 * result is not verified.
 */
import type { MadePlace } from '../abi/made.ts';
import type { ProgramInfo } from '../abi/program.ts';
import { Compilation, FULL } from './compile.ts';
import { passingInfo } from './info.ts';

/** @throws MalformedError where the code is no module, UnsupportedError where it is none that can be made at run time */
export function makeModule(
  code: Uint8Array<ArrayBuffer>,
  made: MadePlace,
): { rewritten: Uint8Array<ArrayBuffer>; info: ProgramInfo } {
  const options = { ...FULL, made };
  const compilation = new Compilation(code, options);
  compilation.compile(1);
  const { bytes } = compilation.finish();
  return { rewritten: bytes, info: passingInfo(compilation, bytes, options) };
}
