/**
 * The command line tool: `main(process.argv.slice(2))`, called by the launcher. Chooses the command, prints what went
 * wrong in one line, and sets the exit code: the program's own where one ran.
 */
import { readFileSync } from 'node:fs';
import { EnvironmentError, MalformedError } from '../base/errors.ts';
import { type Parsed, parse } from './args.ts';
import { failBackground, isBackground } from './background.ts';
import { runCall } from './call.ts';
import { findCommand } from './commands.ts';
import { completionScript } from './completion.ts';
import { runDescribe } from './describe.ts';
import { runAttach, runProgram, runUp } from './foreground.ts';
import { commandHelp, overview } from './help.ts';
import { runExport, runFiles, runImport, runInspect, runPs, runRemove, runStop } from './offline.ts';
import { sayError } from './output.ts';
import { dieWithLauncher } from './signals.ts';
import { suggest } from './suggest.ts';
import { EXIT } from './types.ts';

/** So long may something forgotten hold the process, in milliseconds. */
const LINGER_MS = 3000;

const COMMAND_CODE: Record<string, (parsed: Parsed) => Promise<number>> = {
  run: runProgram,
  up: runUp,
  describe: runDescribe,
  ps: runPs,
  attach: runAttach,
  call: runCall,
  stop: runStop,
  rm: runRemove,
  inspect: runInspect,
  files: runFiles,
  export: runExport,
  import: runImport,
  help: async (parsed) => print(helpText(parsed)),
  completion: async (parsed) => print(completionScript(parsed.positionals[0]!)),
};

/** Runs one command line and ends the process with its exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  dieWithLauncher();
  // Whoever read our own words has gone; programs' output takes another way.
  process.stdout.on('error', () => process.exit(EXIT.own));
  process.stderr.on('error', () => {});
  let code: number;
  try {
    code = await dispatch(argv);
  } catch (error) {
    if (!(isBackground() && failBackground(error))) sayError(error);
    code = exitCodeFor(error);
  }
  await Promise.all([drained(process.stdout), drained(process.stderr)]);
  end(code);
}

/**
 * Ends by having nothing left to do. `process.exit` would wait for V8's background threads while one of them may be
 * waiting for this thread to collect garbage: seen to hang about once in fifty times on a loaded machine. It is kept
 * for the case that something forgotten holds the process.
 */
function end(code: number): void {
  process.exitCode = code;
  setTimeout(() => process.exit(code), LINGER_MS).unref();
}

async function dispatch(argv: readonly string[]): Promise<number> {
  const parsed = parse(argv);
  if (parsed.flags.has('version')) return print(`perdure ${version()}\n`);
  if (parsed.flags.has('help')) {
    return print(parsed.command.name === 'help' ? overview() : commandHelp(parsed.command));
  }
  return COMMAND_CODE[parsed.command.name]!(parsed);
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

function helpText(parsed: Parsed): string {
  const [name] = parsed.positionals;
  if (name === undefined) return overview();
  const command = findCommand(name);
  if (command !== undefined) return commandHelp(command);
  const meant = suggest(name, Object.keys(COMMAND_CODE));
  const hint = meant === undefined ? 'see perdure help' : `did you mean "${meant}"?`;
  throw new EnvironmentError('usage', `there is no command "${name}"`, hint);
}

function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** Codes of our own failures, apart from those of programs; see `perdure help`. */
function exitCodeFor(error: unknown): number {
  if (error instanceof MalformedError) return EXIT.refused;
  if (!(error instanceof EnvironmentError)) return EXIT.own;
  if (error.code === 'no-program') return EXIT.notFound;
  const refused = ['not-a-program', 'unknown-imports', 'not-granted', 'no-compiler'];
  return refused.includes(error.code) ? EXIT.refused : EXIT.own;
}

function drained(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.writableLength === 0) resolve();
    else stream.write('', () => resolve());
  });
}
