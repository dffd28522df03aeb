/**
 * The compiler's version: part of the key under which rewritten modules are kept. Change it with every change of
 * what the compiler emits, so that no module made by an older compiler is taken for one of this.
 */
export const COMPILER_VERSION = 'perdure-compiler-26';
