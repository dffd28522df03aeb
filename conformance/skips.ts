/**
 * What of the suite is not run, and why: the published list. Listed lines are run all the same, and one that passes
 * fails the run (unless `never` is set): so the list cannot grow stale. Listed scripts are not run.
 *
 * Beside the list two rules: assertions about the text format alone are not for an engine that takes bytes
 * (`assert_malformed` of quoted text), and an invalid module that the assembler cannot write down never reaches one.
 */
import { AssembleError } from './assemble.ts';
import type { Command } from './script.ts';

export interface Skip {
  readonly script: string;
  /** The lines of commands, or absent for the whole script. */
  readonly lines?: readonly number[];
  readonly why: string;
  /** Names engines must begin with for this to hold; absent for all. */
  readonly engine?: string;
  /** Not even run to see whether it passes. */
  readonly never?: true;
}

const GC = 'garbage collected types: refused by design, a suspended frame cannot hold a host reference';
const TYPED = 'typed function references: not in the set the design lists';
const TEXT = 'about the text format, not about modules';
const V8 = 'more than V8 lets any module have';
const OLD = 'from before several tables and memories were allowed';
const OWN =
  'a memory belongs to one domain: an imported one is made by the kernel with the declared minimum, never the memory of another module';
const LEGACY = 'legacy exception handling: not in the set the design lists';

const whole = (why: string, ...scripts: readonly string[]): Skip[] =>
  scripts.map((name) => ({ script: `${name}.wast`, why }));

export const SKIPS: readonly Skip[] = [
  ...whole(TEXT, 'annotations', 'id'),
  ...whole(GC, 'array', 'array_copy', 'array_fill', 'array_init_data', 'array_init_elem', 'array_new_data'),
  ...whole(GC, 'array_new_elem', 'binary-gc', 'br_on_cast', 'br_on_cast_fail', 'extern', 'i31', 'ref_cast'),
  ...whole(GC, 'ref_eq', 'ref_null', 'ref_test', 'struct', 'type-canon', 'type-rec', 'type-subtyping'),
  ...whole(TYPED, 'br_on_non_null', 'br_on_null', 'call_ref', 'local_init', 'ref', 'ref_as_non_null'),
  ...whole(TYPED, 'return_call_ref', 'table-sub', 'type-equivalence', 'unreached-valid'),
  ...whole(LEGACY, 'legacy/rethrow', 'legacy/throw', 'legacy/try_catch', 'legacy/try_delegate').map(
    (skip): Skip => ({ ...skip, engine: 'perdure' }),
  ),
  { script: 'elem.wast', lines: [87, 315, 448, 465, 482, 499, 539, 556, 573], why: TYPED },
  { script: 'ref_is_null.wast', lines: [71], why: TYPED },
  {
    script: 'func.wast',
    lines: [659],
    engine: 'v8',
    why: `${TYPED}: wabt writes the local's type as another`,
  },
  {
    script: 'linking.wast',
    lines: [
      96, 110, 112, 137, 141, 145, 150, 154, 158, 163, 167, 171, 175, 198, 202, 206, 210, 215, 219, 223, 227,
      232, 236, 240, 244, 426, 432, 434, 450, 454,
    ],
    why: TYPED,
  },
  { script: 'table.wast', lines: [14, 86, 91, 93, 112, 113, 114, 115, 116], why: TYPED },
  { script: 'try_table.wast', lines: [420, 464, 465, 466, 467, 468], why: TYPED },
  { script: 'table_init.wast', lines: [2272, 2286], why: GC },
  { script: 'table_init64.wast', lines: [2457, 2471], why: GC },
  { script: 'tag.wast', lines: [30, 38, 40, 48], why: 'recursive types' },
  { script: 'memory64.wast', lines: [8, 9], why: `${V8}: 2^48 pages` },
  { script: 'table.wast', lines: [9], why: `${V8}: 2^32 - 1 elements` },
  { script: 'table64.wast', lines: [9], why: `${V8}: 2^64 - 1 elements` },
  // What one program's memory is to another: segments will share memory between domains; imports do not.
  ...(
    [
      ['data.wast', [144, 149, 154, 160, 166, 171]],
      ['imports.wast', [666, 667, 668, 669]],
      ['imports4.wast', [13, 14, 15, 16]],
      ['instance.wast', [103, 169]],
      ['linking.wast', [506, 507, 511, 538, 539, 563, 564, 576, 609]],
      ['linking1.wast', [40, 41, 45]],
      ['linking2.wast', [28, 29]],
      ['linking3.wast', [36, 49, 82]],
      ['load1.wast', [25, 26, 27, 28, 29]],
      ['memory_grow.wast', [32, 37, 38, 43, 44, 49]],
      ['memory_size_import.wast', [19]],
      ['threads/imports.wast', [491, 492, 493, 494]],
    ] as const
  ).map(([script, lines]): Skip => ({ script, lines, why: OWN, engine: 'perdure' })),
  { script: 'elem.wast', lines: [453, 470, 487, 504, 544, 561, 578], why: TYPED, engine: 'perdure' },
  {
    script: 'memory.wast',
    lines: [8],
    why: 'private memory ends at 2 GiB, where the windows for segments begin',
    engine: 'perdure',
  },
  { script: 'threads/imports.wast', lines: [309, 313, 317, 404, 408, 412], why: OLD },
  { script: 'threads/memory.wast', lines: [14, 15], why: OLD },
];

/** Edits of scripts' texts that change neither lines nor meaning, where the assembler lacks a construct. */
export const EDITS: readonly { script: string; from: RegExp; to: string; why: string }[] = [
  ...['br_table.wast', 'ref_is_null.wast'].flatMap((script) => [
    {
      script,
      from: /\(ref (?:null )?\$t\)/g,
      to: 'funcref',
      why: 'the supertype holds the same functions; nothing there needs more',
    },
    { script, from: /\(ref\.null \$t\)/g, to: '(ref.null func)', why: 'the null of the supertype' },
  ]),
];

export function edited(script: string, text: string): string {
  return EDITS.filter((e) => e.script === script).reduce((t, e) => t.replace(e.from, e.to), text);
}

export interface Skips {
  /** Whether the whole script is skipped, and why. */
  script(script: string): string | undefined;
  /** Whether this command is not run. */
  command(script: string, command: Command): boolean;
  /** Whether this command is listed as one that does not pass. */
  listed(script: string, command: Command): boolean;
  /** Whether this error says nothing about the engine. */
  excused(command: Command, error: unknown): boolean;
}

export function skipsFor(engine: string): Skips {
  const entries = SKIPS.filter((e) => e.engine === undefined || engine.startsWith(e.engine));
  const at = (script: string, command: Command): Skip | undefined =>
    entries.find((e) => e.script === script && e.lines?.includes(command.line));
  return {
    script: (script) => entries.find((e) => e.script === script && !e.lines)?.why,
    command: (script, command) =>
      (command.kind === 'malformed' && command.source.form === 'quote') ||
      at(script, command)?.never === true,
    listed: (script, command) => at(script, command) !== undefined,
    excused: (command, error) =>
      error instanceof AssembleError && (command.kind === 'invalid' || command.kind === 'malformed'),
  };
}
