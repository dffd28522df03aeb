/** What others use of the compiler: `compile`, and `programInfo` for the kernel's questions. */

export { ALONE, type Compiled, compile, FULL } from './compile.ts';
export { programInfo } from './info.ts';
export type { CompileOptions } from './plan.ts';
export { trapKind } from './traps.ts';
export { COMPILER_VERSION } from './version.ts';
