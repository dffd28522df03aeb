/** What others use of the compiler: `compile`, or `Compilation` with `compileShare` where several threads compile, and `programInfo` for the kernel's questions. */

export { ALONE, Compilation, type Compiled, compile, FULL } from './compile.ts';
export { programInfo } from './info.ts';
export { makeModule } from './made.ts';
export { PROOFS } from './memory.ts';
export { COUNTER_EXPORT, type CompileOptions } from './plan.ts';
export { type CompiledShare, compileShare } from './share.ts';
export { trapKind } from './traps.ts';
export { COMPILER_VERSION } from './version.ts';
