/**
 * What the tool itself says, as against the programs it runs: always on standard error (answers to `ps`, `inspect`
 * and `help` go to standard output), one line each, colours only on a terminal. Programs' output never passes here.
 */
import { EnvironmentError, MalformedError } from '../base/errors.ts';
import { showTime } from './units.ts';

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const;
export type Style = keyof typeof CODES;

function coloured(stream: NodeJS.WriteStream): boolean {
  if (process.env.NO_COLOR) return false;
  if (process.env.FORCE_COLOR && process.env.FORCE_COLOR !== '0') return true;
  return stream.isTTY === true && process.env.TERM !== 'dumb';
}

/** `text` in a style, if `stream` shows styles. */
export function paint(style: Style, text: string, stream: NodeJS.WriteStream = process.stderr): string {
  return coloured(stream) ? `\x1b[${CODES[style]}m${text}\x1b[0m` : text;
}

/** Control characters out of names and messages that came from elsewhere, so that they cannot drive a terminal. */
export function clean(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (char) => {
    return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}

/** One line on standard error. */
export function say(message: string): void {
  process.stderr.write(`${paint('dim', 'perdure:')} ${message}\n`);
}

/** An error in one line, with what to do. Bugs of ours come with their stack: there is no better advice. */
export function sayError(error: unknown): void {
  if (error instanceof EnvironmentError) {
    sayFailed(error.message, error.hint);
  } else if (error instanceof MalformedError) {
    process.stderr.write(`${paint('red', 'perdure:')} ${clean(error.message)}\n`);
  } else {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`${paint('red', 'perdure:')} this is a bug of perdure: ${stack}\n`);
  }
}

/** That something failed, in one line, with what to do. */
export function sayFailed(message: string, hint: string): void {
  const advice = hint === '' ? '' : ` (${clean(hint)})`;
  process.stderr.write(`${paint('red', 'perdure:')} ${clean(message)}${advice}\n`);
}

/** Progress of work that may take long: shown on a terminal only, from half a second on, and wiped at the end. */
export class Progress {
  readonly #enabled: boolean;
  readonly #started = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #text = '';
  #shown = false;

  constructor(enabled: boolean) {
    this.#enabled = enabled && process.stderr.isTTY === true;
  }

  /** What is being done now. */
  step(text: string): void {
    this.#text = text;
    if (!this.#enabled) return;
    this.#timer ??= setInterval(() => this.#draw(), 200).unref();
  }

  done(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (this.#shown) process.stderr.write('\r\x1b[K');
    this.#shown = false;
  }

  #draw(): void {
    const elapsed = performance.now() - this.#started;
    if (elapsed < 500) return;
    this.#shown = true;
    process.stderr.write(`\r\x1b[K${paint('dim', `perdure: ${this.#text} ${showTime(elapsed)}`)}`);
  }
}
