/**
 * Runs one script of the WebAssembly test suite on an engine and counts what held.
 *
 *   const result = await runScript(engine, 'br_table.wast', text, assemble)
 *
 * Every assertion is counted as passed, failed or skipped (skips.ts says which and why); so is a module or action
 * that must just work. Nothing throws for what a script or an engine does.
 */
import { AssembleError } from './assemble.ts';
import { describe, isTrap, matches } from './compare.ts';
import {
  type Engine,
  type Extern,
  Incapable,
  type Instance,
  LinkFailure,
  type Outcome,
  RefusedModule,
  StartFailure,
} from './engine.ts';
import { type Action, type Command, type ModuleSource, parseScript } from './script.ts';
import { edited, type Skips, skipsFor } from './skips.ts';
import { SPECTEST, SPECTEST_SHARED } from './spectest.ts';

export interface Failure {
  readonly line: number;
  readonly reason: string;
}
export interface ScriptResult {
  readonly script: string;
  passed: number;
  /** Assertions alone, of those passed: what the suite itself counts. */
  assertions: number;
  skipped: number;
  readonly failures: Failure[];
}

type Assemble = (source: ModuleSource) => Uint8Array;

class Failed extends Error {}

function fail(reason: string): never {
  throw new Failed(reason);
}

class Run {
  readonly #engine: Engine;
  readonly #assemble: Assemble;
  readonly #named = new Map<string, Instance | undefined>();
  readonly #definitions = new Map<string, unknown>();
  readonly #registered = new Map<string, Instance>();
  #current: Instance | undefined;
  #definition: unknown;

  constructor(engine: Engine, assemble: Assemble) {
    this.#engine = engine;
    this.#assemble = assemble;
  }

  async start(): Promise<void> {
    const spectest = await this.#make({ form: 'text', text: SPECTEST });
    const shared = await this.#make({ form: 'text', text: SPECTEST_SHARED });
    this.#registered.set('spectest', {
      export: (name) => spectest.export(name) ?? shared.export(name),
      invoke: (name, args) => spectest.invoke(name, args),
      global: (name) => spectest.global(name),
    });
  }

  #resolve = (module: string, name: string): Extern | undefined => this.#registered.get(module)?.export(name);

  async #make(source: ModuleSource): Promise<Instance> {
    return this.#engine.instantiate(this.#engine.compile(this.#assemble(source)), this.#resolve);
  }

  #use(id: string | undefined, instance: Instance | undefined): void {
    this.#current = instance;
    if (id !== undefined) this.#named.set(id, instance);
  }

  async #do(action: Action): Promise<Outcome> {
    const instance = action.module === undefined ? this.#current : this.#named.get(action.module);
    if (!instance) fail('the module of this action could not be made');
    return action.kind === 'get'
      ? { kind: 'values', values: [await instance.global(action.name)] }
      : instance.invoke(action.name, action.args);
  }

  /** Throws Failed, or anything of an engine's, where the command does not hold. */
  async command(command: Command): Promise<void> {
    switch (command.kind) {
      case 'module':
        this.#use(command.id, undefined); // a failed one must not leave the last one in its place
        this.#use(command.id, await this.#make(command.source));
        return;
      case 'definition':
        this.#definition = this.#engine.compile(this.#assemble(command.source));
        if (command.id !== undefined) this.#definitions.set(command.id, this.#definition);
        return;
      case 'instance': {
        const definition = command.of === undefined ? this.#definition : this.#definitions.get(command.of);
        this.#use(command.id, await this.#engine.instantiate(definition, this.#resolve));
        return;
      }
      case 'register': {
        const instance = command.id === undefined ? this.#current : this.#named.get(command.id);
        if (!instance) fail('the module to register could not be made');
        this.#registered.set(command.as, instance);
        return;
      }
      case 'action': {
        const outcome = await this.#do(command.action);
        if (outcome.kind !== 'values') fail(`${command.action.name} gave ${describe(outcome)}`);
        return;
      }
      default:
        return this.#assertion(command);
    }
  }

  async #assertion(command: Command): Promise<void> {
    switch (command.kind) {
      case 'return': {
        const outcome = await this.#do(command.action);
        const { expected } = command;
        const holds =
          outcome.kind === 'values' &&
          outcome.values.length === expected.length &&
          expected.every((p, i) => matches(p, outcome.values[i]));
        if (!holds) fail(`${command.action.name} gave ${describe(outcome)}`);
        return;
      }
      case 'trap':
      case 'exhaustion': {
        const outcome = await this.#do(command.action);
        if (!isTrap(outcome, command.message))
          fail(`${command.action.name}: wanted ${command.message}, got ${describe(outcome)}`);
        return;
      }
      case 'exception': {
        const outcome = await this.#do(command.action);
        if (outcome.kind !== 'exception') fail(`${command.action.name} gave ${describe(outcome)}`);
        return;
      }
      case 'module-trap':
      case 'unlinkable':
      case 'invalid':
      case 'malformed':
        return this.#refusal(command);
      default:
        fail(`${command.kind === 'other' ? command.name : command.kind} is not known to this runner`);
    }
  }

  async #refusal(command: Extract<Command, { source: ModuleSource; message: string }>): Promise<void> {
    let thrown: unknown;
    try {
      await this.#make(command.source);
    } catch (error) {
      thrown = error;
    }
    const wanted = `wanted ${command.kind} (${command.message})`;
    if (command.kind === 'module-trap') {
      if (!(thrown instanceof StartFailure) || !isTrap(thrown.outcome, command.message))
        fail(`${wanted}, got ${thrown}`);
    } else if (command.kind === 'unlinkable') {
      if (!(thrown instanceof LinkFailure)) fail(`${wanted}, got ${thrown}`);
    } else if (!(thrown instanceof RefusedModule)) {
      // text that the assembler itself refuses proves nothing about the engine: that is an assertion skipped
      if (thrown instanceof AssembleError) throw thrown;
      fail(`${wanted}, got ${thrown ?? 'an instance'}`);
    }
  }
}

const ASSERTIONS = new Set([
  'return',
  'trap',
  'exhaustion',
  'exception',
  'module-trap',
  'unlinkable',
  'invalid',
  'malformed',
]);

export async function runScript(
  engine: Engine,
  script: string,
  text: string,
  assemble: Assemble,
  skips: Skips = skipsFor(engine.name),
): Promise<ScriptResult> {
  const result: ScriptResult = { script, passed: 0, assertions: 0, skipped: 0, failures: [] };
  if (skips.script(script) !== undefined) return result;
  const commands = parseScript(edited(script, text));
  const run = new Run(engine, assemble);
  await run.start();
  for (const command of commands) {
    if (skips.command(script, command)) {
      result.skipped++;
      continue;
    }
    const listed = skips.listed(script, command);
    try {
      await run.command(command);
      if (listed) result.failures.push({ line: command.line, reason: 'is on the skip list, but passes' });
      result.passed++;
      if (ASSERTIONS.has(command.kind)) result.assertions++;
    } catch (error) {
      const reason = error instanceof Failed || error instanceof Incapable ? error.message : String(error);
      if (listed || skips.excused(command, error)) result.skipped++;
      else result.failures.push({ line: command.line, reason: `${command.kind}: ${reason}` });
    }
  }
  await engine.reset?.();
  return result;
}
