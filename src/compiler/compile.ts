/**
 * From a program to its rewritten module (the contract is in abi/: system.ts, evidence.ts, layout.ts).
 *
 *     const { bytes, evidence } = compile(program, { isolate: true, suspend: true, track: true });
 *
 * The input is validated by V8 first, so everything behind may rely on types. Large and untrusted: whatever comes out
 * of here, the verifier looks at it as if an adversary had made it.
 */
import type { Evidence } from '../abi/evidence.ts';
import type { FunctionHints } from '../abi/hints.ts';
import { assert } from '../base/assert.ts';
import { MalformedError, UnsupportedError } from '../base/errors.ts';
import { FUNCTION_MAX_BYTES } from '../base/limits.ts';
import { type Code, encodeModule } from '../wasm/module.ts';
import { assemble, evidenceOf } from './assemble.ts';
import type { EmittedFunction } from './emitter.ts';
import { helperTypes } from './helpers.ts';
import {
  emitFunctionAt,
  emitFunctionOf,
  emitInit,
  emitLoadExn,
  emitOnSegment,
  emitRestoreGlobals,
  emitSaveExn,
  emitSaveGlobals,
  emitWrapper,
} from './parts.ts';
import type { CompileOptions } from './plan.ts';
import { fixedFunctions, outputTypes, Program } from './program.ts';

export interface Compiled {
  /** The rewritten module, evidence included. */
  bytes: Uint8Array<ArrayBuffer>;
  evidence: Evidence;
}

/** For a domain in the shared space. */
export const FULL: CompileOptions = { isolate: true, suspend: true, track: true };
/** For a program with a process, and memories, of its own. */
export const ALONE: CompileOptions = { isolate: false, suspend: true, track: true };

/**
 * Rewrites a program.
 * @throws MalformedError where it is not a module, UnsupportedError where it uses what Perdure does not take.
 */
export function compile(bytes: Uint8Array, options: CompileOptions = FULL): Compiled {
  const program = new Program(bytes, options);
  if (!WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>)) throw invalid(bytes);
  const { plan, emitter: e } = program;
  const codes: Code[] = [];
  const hints: FunctionHints[] = [];
  const add = ({ code, roles }: EmittedFunction): void => {
    hints.push({ index: plan.preludeStart + codes.length, roles, loops: [] });
    codes.push(code);
  };
  for (const { body } of fixedFunctions(plan)) {
    const locals = [{ count: body[1]!, type: body[2]! }];
    add({ code: { locals, source: body, start: 3, end: body.length }, roles: [] });
  }
  for (let i = 0; i < plan.importedFunctions; i++) {
    emitWrapper(e, i);
    add(e.finish());
  }
  for (let i = 0; i < program.module.codes.length; i++) {
    program.quick(i);
    const emitted = e.finish();
    if (options.suspend) checkResumable(program, i, emitted);
    add(emitted);
  }
  for (const part of [emitInit, emitSaveGlobals, emitRestoreGlobals]) {
    part(e);
    add(e.finish());
  }
  if (options.suspend) addHelpers(program, add);
  const types = outputTypes(plan);
  assert(types.length === codes.length, 'each function has its type');
  const evidence = evidenceOf(program);
  return { bytes: encodeModule(assemble(program, { types, codes, hints }, evidence)), evidence };
}

/** In the order of `helperTypes`. */
function addHelpers(program: Program, add: (emitted: EmittedFunction) => void): void {
  const { plan, emitter: e } = program;
  emitFunctionAt(e);
  add(e.finish());
  if (plan.usesRefs) {
    emitFunctionOf(e);
    add(e.finish());
  }
  if (plan.usesExceptions) {
    emitSaveExn(e);
    add(e.finish());
    emitLoadExn(e);
    add(e.finish());
  }
  const types = helperTypes(plan).slice(-plan.segmentOps.length);
  plan.segmentOps.forEach((op, i) => {
    emitOnSegment(e, op, types[i]!.params);
    add(e.finish());
  });
}

/**
 * A continuation in the middle of loops holds each of them once more (continuation.ts), and ends of frames at length. It
 * is said now when V8 would not take it then.
 */
function checkResumable(program: Program, defined: number, { code }: EmittedFunction): void {
  const bytes = code.end - code.start;
  if (2 * bytes * (1 + program.body.repeated()) < FUNCTION_MAX_BYTES) return;
  throw new UnsupportedError(
    `function ${program.plan.importedFunctions + defined} is too large to be resumed in its loops: ${bytes} bytes rewritten`,
    program.module.codes[defined]!.start,
  );
}

/** V8's reason, with its offset, as an error of ours. */
function invalid(bytes: Uint8Array): MalformedError {
  try {
    new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
  } catch (error) {
    const { message } = error as Error;
    const offset = /@\+(\d+)/.exec(message);
    return new MalformedError(
      message.replace(/^WebAssembly\.Module\(\): /, '').replace(/ @\+\d+$/, ''),
      offset ? Number(offset[1]) : -1,
    );
  }
  return new MalformedError('V8 refuses the module', -1);
}
