/**
 * What V8 says when WebAssembly code traps, in the words of the core specification's tests. V8's texts are its own
 * and may change with it: one that is not known here is passed on as it is.
 */

const KINDS: readonly (readonly [RegExp, string])[] = [
  [/^unreachable/, 'unreachable'],
  [/memory access out of bounds|segment.*out of bounds memory|data segment/, 'out of bounds memory access'],
  [/divide by zero|remainder by zero/, 'integer divide by zero'],
  [/divide result unrepresentable/, 'integer overflow'],
  [/table index is out of bounds/, 'undefined element'],
  [/table.*out of bounds|element segment|table access/, 'out of bounds table access'],
  [/function signature mismatch/, 'indirect call type mismatch'],
  [/null function/, 'uninitialized element'],
  [/unaligned access/, 'unaligned atomic'],
  [/shared memory/, 'expected shared memory'],
  [/Maximum call stack/, 'call stack exhausted'],
  [/rethrowing null|null exception|dereferencing a null/, 'null exception reference'],
];

/** The kind of trap that an error of V8's stands for. */
export function trapKind(message: string): string {
  for (const [pattern, kind] of KINDS) if (pattern.test(message)) return kind;
  return message;
}
