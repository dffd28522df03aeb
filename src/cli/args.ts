/**
 * From the command line to a checked command: `parse(process.argv.slice(2))`. Whatever is wrong is an
 * `EnvironmentError` with code 'usage', one line, and a hint with what was probably meant. Nothing is guessed.
 */
import { parseArgs } from 'node:util';
import { EnvironmentError } from '../base/errors.ts';
import { COMMANDS, COMMON_OPTIONS, type CommandSpec, findCommand, type OptionSpec } from './commands.ts';
import { suggest } from './suggest.ts';

export interface Parsed {
  readonly command: CommandSpec;
  readonly flags: ReadonlySet<string>;
  /** The last value of each option that was given. */
  readonly values: ReadonlyMap<string, string>;
  /** All values of options that may be repeated, in order. */
  readonly lists: ReadonlyMap<string, readonly string[]>;
  readonly positionals: readonly string[];
}

function usageError(message: string, hint: string): EnvironmentError {
  return new EnvironmentError('usage', message, hint);
}

/** Parses a whole command line. `--help` and `--version` come back as flags of the command, or of `help`. */
export function parse(argv: readonly string[]): Parsed {
  const specs = [...COMMON_OPTIONS, ...COMMANDS.flatMap(({ options }) => options)];
  const at = firstPositional(argv, specs);
  const name = argv[at];
  const command = name === undefined ? undefined : findCommand(name);
  const known = argv
    .slice(0, at)
    .every((word) => !word.startsWith('-') || specFor(word.split('=', 1)[0] as string, specs) !== undefined);
  if (name !== undefined && command === undefined && known) throw unknownCommand(name);
  if (command === undefined) return parseWith(findCommand('help')!, argv, false);
  return parseWith(command, [...argv.slice(0, at), ...argv.slice(at + 1)], true);
}

function unknownCommand(name: string): EnvironmentError {
  if (name.endsWith('.wasm')) {
    return usageError(`"${name}" is not a command`, `to run a program: perdure run ${name}`);
  }
  const meant = suggest(
    name,
    COMMANDS.map((command) => command.name),
  );
  return usageError(
    `there is no command "${name}"`,
    meant === undefined ? 'see perdure help' : `did you mean "${meant}"?`,
  );
}

function parseWith(command: CommandSpec, words: readonly string[], named: boolean): Parsed {
  const specs = [...COMMON_OPTIONS, ...command.options];
  // Options before the program's name are ours, everything after it is the program's.
  const cut = command.programArguments ? firstPositional(words, specs) : words.length;
  const { tokens } = parseArgs({
    args: [...words.slice(0, cut)],
    options: Object.fromEntries(specs.map((spec) => [spec.name, describe(spec)])),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const flags = new Set<string>();
  const values = new Map<string, string>();
  const lists = new Map<string, string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const spec = specs.find((known) => known.name === token.name);
    if (spec === undefined) throw unknownOption(token.rawName, command, specs, named);
    if (spec.value === undefined) {
      if (token.value !== undefined) throw usageError(`--${spec.name} takes no value`, helpFor(command));
      flags.add(spec.name);
      continue;
    }
    if (token.value === undefined) {
      throw usageError(`--${spec.name} needs a value: --${spec.name} ${spec.value}`, helpFor(command));
    }
    if (spec.multiple) lists.set(spec.name, [...(lists.get(spec.name) ?? []), token.value]);
    else values.set(spec.name, token.value);
  }
  positionals.push(...words.slice(words[cut] === '--' ? cut + 1 : cut));
  const parsed = { command, flags, values, lists, positionals };
  if (!flags.has('help') && !flags.has('version')) checkCount(parsed);
  return parsed;
}

function describe(spec: OptionSpec): { type: 'string' | 'boolean'; short?: string; multiple?: boolean } {
  return {
    type: spec.value === undefined ? 'boolean' : 'string',
    ...(spec.short === undefined ? {} : { short: spec.short }),
  };
}

/** Where the first word stands that is no option and no option's value. */
function firstPositional(words: readonly string[], specs: readonly OptionSpec[]): number {
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    if (word === '--' || word === '-' || !word.startsWith('-')) return index;
    if (specFor(word, specs)?.value !== undefined) index++;
  }
  return words.length;
}

/** The option that a word on the command line is, if its value is the next word or it has none. */
function specFor(word: string, specs: readonly OptionSpec[]): OptionSpec | undefined {
  return word.startsWith('--')
    ? specs.find((known) => `--${known.name}` === word)
    : specs.find((known) => known.short !== undefined && word.endsWith(known.short) && word.length === 2);
}

function unknownOption(
  typed: string,
  command: CommandSpec,
  specs: readonly OptionSpec[],
  named: boolean,
): EnvironmentError {
  const meant = typed.startsWith('--')
    ? suggest(
        typed.slice(2),
        specs.map((spec) => spec.name),
      )
    : undefined;
  const where = named ? `perdure ${command.name} has no option` : 'there is no option';
  return usageError(`${where} ${typed}`, meant === undefined ? helpFor(command) : `did you mean --${meant}?`);
}

function checkCount({ command, positionals }: Parsed): void {
  if (positionals.length < command.least) {
    const missing = command.usage.split(' ')[0];
    throw usageError(`perdure ${command.name} needs ${missing}`, helpFor(command));
  }
  if (positionals.length > command.most) {
    throw usageError(`perdure ${command.name} takes no "${positionals[command.most]}"`, helpFor(command));
  }
}

function helpFor(command: CommandSpec): string {
  return command.name === 'help' ? 'see perdure help' : `see perdure ${command.name} --help`;
}
