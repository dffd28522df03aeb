/** Help texts, made from the table of commands. Pure: they return text, `main.ts` prints it. */
import { COMMANDS, COMMON_OPTIONS, type CommandSpec, type OptionSpec } from './commands.ts';

const WIDTH = 100;

/** The first screen: what it is, the commands, where to go on. */
export function overview(): string {
  const rows = COMMANDS.map((command) => [`  ${command.name}`, command.summary] as const);
  return `perdure: an operating system for WebAssembly programs that never stop existing

Usage: perdure COMMAND [OPTIONS] ...

${table(rows)}

  perdure run hello.wasm        run a program
  perdure up                    go on with everything, after a crash or Ctrl-C
  perdure help run              all about one command

Exit codes: a program's own is passed through. 134 it trapped, 137 it used up its processor time, 143 it was
stopped, 130 it was suspended by Ctrl-C. 125 perdure itself failed or was misused, 126 the program was refused,
127 there is no such file to run.
`;
}

/** All about one command. */
export function commandHelp(command: CommandSpec): string {
  const parts = [`perdure ${command.name}: ${command.summary}`, ''];
  const options = [...command.options, ...COMMON_OPTIONS];
  const usage = command.usage === '' ? '' : ` ${command.usage}`;
  parts.push(`Usage: perdure ${command.name} [OPTIONS]${usage}`, '');
  if (command.details !== '') parts.push(command.details, '');
  parts.push(
    'Options:',
    table(options.map((option) => [`  ${optionHead(option)}`, option.help] as const)),
    '',
  );
  if (command.examples.length > 0) {
    parts.push(
      'Examples:',
      table(command.examples.map(([line, about]) => [`  ${line}`, about] as const)),
      '',
    );
  }
  return parts.join('\n');
}

function optionHead(option: OptionSpec): string {
  const short = option.short === undefined ? '    ' : `-${option.short}, `;
  return `${short}--${option.name}${option.value === undefined ? '' : ` ${option.value}`}`;
}

/** Two columns; the second is wrapped, and goes below where the first is long. */
function table(rows: readonly (readonly [string, string])[]): string {
  const column = Math.min(32, Math.max(...rows.map(([left]) => left.length)) + 3);
  const lines: string[] = [];
  for (const [left, right] of rows) {
    const words = wrap(right, WIDTH - column);
    if (left.length + 2 > column) lines.push(left, ...words.map((line) => ' '.repeat(column) + line));
    else words.forEach((line, index) => void lines.push((index === 0 ? left : '').padEnd(column) + line));
  }
  return lines.map((line) => line.trimEnd()).join('\n');
}

function wrap(text: string, width: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines[lines.length - 1]!;
    if (last !== '' && last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}
