/**
 * What the tool can do, as data: every command with its options, its help and its examples. Parsing (`args.ts`), help
 * (`help.ts`) and completion (`completion.ts`) all read this one table, so they cannot disagree. Add a command here
 * and its code in `main.ts`; never describe an option anywhere else.
 */

export interface OptionSpec {
  readonly name: string;
  readonly short?: string;
  /** The name of its value in the help; a flag where missing. */
  readonly value?: string;
  /** The values that it can have, or that they are folders; for completion. Files, where nothing is said. */
  readonly values?: readonly string[] | 'folder';
  /** May be given several times. */
  readonly multiple?: boolean;
  readonly help: string;
}

export interface CommandSpec {
  readonly name: string;
  /** Positional arguments as the help shows them. */
  readonly usage: string;
  readonly summary: string;
  readonly details: string;
  readonly options: readonly OptionSpec[];
  /** Positional arguments: least and most. */
  readonly least: number;
  readonly most: number;
  /** All that follows the first positional argument belongs to the program, options included. */
  readonly programArguments?: boolean;
  /** What a positional argument names; for completion. */
  readonly completes?: 'wasm' | 'domain' | 'archive' | 'command' | 'shell';
  readonly examples: readonly (readonly [string, string])[];
}

const SPACE: OptionSpec = {
  name: 'space',
  short: 's',
  value: 'FOLDER',
  values: 'folder',
  help: 'the space: a folder (default: $PERDURE_SPACE, or .perdure in the current folder)',
};
const JSON_OUT: OptionSpec = { name: 'json', help: 'answer with JSON' };
const QUIET: OptionSpec = { name: 'quiet', short: 'q', help: 'say nothing but errors' };
const CHECKPOINT_EVERY: OptionSpec = {
  name: 'checkpoint-every',
  value: 'TIME',
  help: 'the most running time a crash can take back (default 1s; waiting output never waits for it)',
};
const ISOLATION: OptionSpec = {
  name: 'isolation',
  value: 'KIND',
  values: ['space', 'process'],
  help: 'where its code runs: space (the default), checked and beside other programs; process, in a process of its own with its own memory, for what must not share one: there its calls cost more',
};
const GRANT: OptionSpec = {
  name: 'grant',
  value: 'NAME',
  multiple: true,
  help: 'give it something else it asks for: compiler, with which it makes code while it runs, held in as it is itself; or NAME=PROGRAM, another program of the space, NAME=PROGRAM#PROCEDURE, one procedure of it, a sturdy reference (perdure:...), and NAME=host:clock, NAME=host:random, under the name by which it asks',
};
const MAP: OptionSpec = {
  name: 'map',
  value: 'NAME=WHAT[:ro]',
  multiple: true,
  help: 'map memory for it, which it need not know of Perdure to use: a copy of a FILE, new:SIZE, or, shared, PROGRAM#NAME (what another has mapped as NAME) or a sturdy reference; it is told where by the environment variable PERDURE_MAP_NAME=0xADDRESS,SIZE',
};
const OUTPUT: OptionSpec = {
  name: 'output',
  value: 'POLICY',
  values: ['at-least-once', 'at-most-once'],
  help: 'after a crash, output to a pipe or terminal whose fate is unknown is written again (at-least-once, the default) or not (at-most-once); files are always exact',
};

/** Options every command takes. */
export const COMMON_OPTIONS: readonly OptionSpec[] = [
  { name: 'help', short: 'h', help: 'show this help' },
  { name: 'version', short: 'V', help: 'show the version' },
];

export const COMMANDS: readonly CommandSpec[] = [
  {
    name: 'run',
    usage: 'PROGRAM.wasm [ARGUMENTS...]',
    summary: 'run a program in the space; it survives whatever happens to this process',
    details:
      'Runs a WASI program as its compiler made it. Kill this process at any moment, even with kill -9, and\n`perdure up` goes on in the middle of what the program was doing. Ctrl-C suspends it durably; a second\nCtrl-C leaves at once. All options stand before the program; what follows it belongs to the program.\nThe program sees its own folder of the space as `/` and nothing else, except what is granted with --dir.\nIf another process owns the space, the program is handed to it and shown here.',
    options: [
      SPACE,
      { name: 'name', short: 'n', value: 'NAME', help: "what to call it (default: the file's name)" },
      {
        name: 'dir',
        value: 'HOST::GUEST[:ro]',
        multiple: true,
        help: 'grant a folder of the host, seen by the program as GUEST (ro: read only)',
      },
      {
        name: 'env',
        short: 'e',
        value: 'KEY[=VALUE]',
        multiple: true,
        help: 'set an environment variable; without a value, pass on mine',
      },
      { name: 'memory', short: 'm', value: 'SIZE', help: 'the most memory it may have, such as 256M (1G)' },
      { name: 'cpu', value: 'TIME', help: 'the most processor time it may use, such as 500ms, 10s, 2m' },
      {
        name: 'outbox',
        value: 'SIZE',
        help: 'the most bytes it may have written that are not out yet; further writes wait (16M)',
      },
      {
        name: 'listen',
        value: 'ADDRESS',
        multiple: true,
        help: 'give it a socket that listens at HOST:PORT or unix:PATH, as the first descriptor after its folders',
      },
      {
        name: 'connect',
        value: 'ADDRESS',
        multiple: true,
        help: 'give it a socket that is connected to ADDRESS, after those that listen',
      },
      { name: 'detach', short: 'd', help: 'leave it running in the background' },
      { name: 'volatile', help: 'do not keep it: it ends with the process that hosts it' },
      { name: 'trap-unknown-imports', help: 'let unknown imports in; calling one ends the program' },
      GRANT,
      MAP,
      ISOLATION,
      CHECKPOINT_EVERY,
      OUTPUT,
      {
        name: 'json',
        help: 'tell its end in a line of JSON on standard error; with --detach: answer with JSON',
      },
      QUIET,
    ],
    least: 1,
    most: Number.POSITIVE_INFINITY,
    programArguments: true,
    completes: 'wasm',
    examples: [
      ['perdure run hello.wasm', 'run it; its exit code is ours'],
      ['perdure run --dir .::/data sort.wasm /data/big.txt', 'grant the current folder as /data'],
      ['perdure run --map words=big.txt:ro count.wasm', 'with a file in its memory; see PERDURE_MAP_words'],
      ['perdure run --memory 256M --cpu 10s untrusted.wasm', 'with limits'],
      ['perdure run --isolation process stranger.wasm', 'in a process of its own'],
      ['perdure run --detach --name db server.wasm', 'in the background; see `perdure attach db`'],
    ],
  },
  {
    name: 'up',
    usage: '',
    summary: 'resume everything in a space, and print what it writes',
    details:
      'Every program of the space goes on from the instruction where it was. What they write is printed, with\nthe name before each line where there are several. The exit code is that of the first program that ended\nbadly, or 0.',
    options: [
      SPACE,
      { name: 'exit-when-idle', help: 'end when no program is left running' },
      { name: 'detach', short: 'd', help: 'go on in the background' },
      CHECKPOINT_EVERY,
      OUTPUT,
      QUIET,
    ],
    least: 0,
    most: 0,
    examples: [
      ['perdure up', 'go on after a crash, a reboot, or Ctrl-C'],
      ['perdure up --exit-when-idle', 'until all programs have ended'],
      ['perdure up --detach', 'in the background; `perdure ps` tells what it does'],
    ],
  },
  {
    name: 'describe',
    usage: 'PROGRAM.wasm',
    summary: 'tell what a program wants and offers, without installing it',
    details:
      'What it imports, as what it asks to be granted; what it exports; its memory; and whether it can be installed, and so\npersist, or why not and where. Nothing of it is run. The exit code is 126 where `perdure run` would refuse it.',
    options: [JSON_OUT],
    least: 1,
    most: 1,
    completes: 'wasm',
    examples: [
      ['perdure describe stranger.wasm', 'before it gets anything'],
      ['perdure describe --json stranger.wasm', 'the same for a script'],
    ],
  },
  {
    name: 'ps',
    usage: '',
    summary: 'list the programs of a space',
    details: 'Works whether or not a process owns the space.',
    options: [SPACE, JSON_OUT, { name: 'names', help: 'print the names only, one a line' }],
    least: 0,
    most: 0,
    examples: [
      ['perdure ps', 'name, state, isolation, processor time, memory'],
      ['perdure ps --json', 'the same for a script'],
    ],
  },
  {
    name: 'attach',
    usage: 'NAME',
    summary: 'show what a background program writes, and type to it',
    details:
      'Shows first what the program wrote while nobody looked. Ctrl-C detaches; the program goes on. If it ends\nwhile we look, its exit code is ours.',
    options: [SPACE, QUIET],
    least: 1,
    most: 1,
    completes: 'domain',
    examples: [['perdure attach db', 'until Ctrl-C']],
  },
  {
    name: 'call',
    usage: 'NAME PROCEDURE [ARGUMENTS...]',
    summary: 'call a procedure of a program, and print what it gives',
    details:
      "What a program exports as gate:PROCEDURE can be called; `perdure describe` lists it. The results are printed a line\neach, when they are durable. Numbers are written in decimal or as 0x..., v128 as 32 hexadecimal digits, a capability as\nwhat it is to, as with --grant. All options stand before the program's name. If no process owns the space, the program\ngoes on while it is called, and programs beside it only where they wait to be called. Ctrl-C ends the waiting; where a\nprocess owns the space, the call goes on there. Where the program ends in the call, its exit code is ours.",
    options: [
      SPACE,
      {
        name: 'json',
        help: 'print the results as an array; i64 as decimal text, v128 and what JSON has no number for as text',
      },
    ],
    least: 2,
    most: Number.POSITIVE_INFINITY,
    programArguments: true,
    completes: 'domain',
    examples: [
      ['perdure call calc add 2 -40', 'print the sum'],
      ['perdure call --json calc divide 7 2', 'the same for a script'],
      ['perdure call printer show calc#add', "with a capability to a program's procedure"],
    ],
  },
  {
    name: 'stop',
    usage: '[NAME...]',
    summary: 'end programs, or suspend the whole space and end its process',
    details:
      'With names: ends these programs (exit code 143). Without: makes a checkpoint and ends the process that\nowns the space; `perdure up` goes on from there.',
    options: [SPACE, QUIET],
    least: 0,
    most: Number.POSITIVE_INFINITY,
    completes: 'domain',
    examples: [
      ['perdure stop db', 'end one program'],
      ['perdure stop', 'suspend everything; `perdure up` goes on'],
    ],
  },
  {
    name: 'rm',
    usage: 'NAME...',
    summary: 'remove programs from the space, with their files',
    details: 'A program that has not ended is only removed with --force.',
    options: [
      SPACE,
      { name: 'force', short: 'f', help: 'remove it even if it has not ended' },
      { name: 'keep-files', help: 'keep its folder of the space for a later program of that name' },
      QUIET,
    ],
    least: 1,
    most: Number.POSITIVE_INFINITY,
    completes: 'domain',
    examples: [['perdure rm --force db', 'end it and remove it']],
  },
  {
    name: 'inspect',
    usage: 'NAME',
    summary: "look into a program: state, memory, and its own call stack with the functions' names",
    details:
      'The call stack is read from the last checkpoint: function, instruction, locals and operands with their\ntypes, innermost first; across the programs that it has called, and that of each call by others that is\nin it. Works whether or not a process owns the space.',
    options: [SPACE, JSON_OUT],
    least: 1,
    most: 1,
    completes: 'domain',
    examples: [
      ['perdure inspect db', ''],
      ['perdure inspect db --json', 'the same for a script'],
    ],
  },
  {
    name: 'files',
    usage: 'NAME [PATH]',
    summary: "list a program's own folder, or print a file of it",
    details:
      'What the program sees as `/`, as the last checkpoint has it. A folder is listed, a file is written to\nstandard output as it is.',
    options: [SPACE, JSON_OUT],
    least: 1,
    most: 2,
    completes: 'domain',
    examples: [
      ['perdure files speech', 'what is there'],
      ['perdure files speech /hello.wav > hello.wav', 'take a file out'],
    ],
  },
  {
    name: 'export',
    usage: 'NAME [FILE]',
    summary: 'write a program, in the middle of what it does, to one file',
    details:
      'The file holds the program, its memory, its call stack, its files, and what else is its own, memory that it\nhas mapped among it: carry it to another machine and go on there with `perdure import`. What others offer it\nstays behind. The program here is suspended at that point; --keep lets it go on as well.',
    options: [SPACE, { name: 'keep', help: 'let it go on here too' }, QUIET],
    least: 1,
    most: 2,
    completes: 'domain',
    examples: [
      ['perdure export db db.perdure', ''],
      ['perdure export db - | ssh other perdure import -', 'straight to another machine'],
    ],
  },
  {
    name: 'import',
    usage: 'FILE',
    summary: 'take in a program that was exported',
    details:
      'The program goes on with the next `perdure up`, or at once if a process owns the space. What it had of the\nhost and of other programs it has again where it is granted under the same name.',
    options: [
      SPACE,
      { name: 'name', short: 'n', value: 'NAME', help: 'what to call it here (default: its old name)' },
      {
        name: 'dir',
        value: 'HOST::GUEST[:ro]',
        multiple: true,
        help: 'where the folders of the host that it had are here',
      },
      GRANT,
      ISOLATION,
      QUIET,
    ],
    least: 1,
    most: 1,
    completes: 'archive',
    examples: [
      ['perdure import db.perdure && perdure up', 'go on here'],
      [
        'perdure import --grant log=logger db.perdure',
        'with another program in the place of the one it called',
      ],
      ['perdure import --isolation process db.perdure', 'the same in a process of its own, whatever it was'],
    ],
  },
  {
    name: 'help',
    usage: '[COMMAND]',
    summary: 'show help for a command',
    details: '',
    options: [],
    least: 0,
    most: 1,
    completes: 'command',
    examples: [],
  },
  {
    name: 'completion',
    usage: 'bash|zsh|fish',
    summary: 'print a completion script for your shell',
    details: '',
    options: [],
    least: 1,
    most: 1,
    completes: 'shell',
    examples: [['source <(perdure completion bash)', 'complete in this shell']],
  },
];

export function findCommand(name: string): CommandSpec | undefined {
  return COMMANDS.find((command) => command.name === name);
}
