/** The page of `perdure describe`. Text in, text out; nothing is printed here. */
import type { OfferDescription, Part, ProgramDescription } from './describe.ts';
import { clean, paint } from './output.ts';
import { showSize } from './units.ts';

/** Functions that are named on one line; the rest are counted. */
const NAMED = 12;
const WIDTH = 14;

export function descriptionPage(file: string, program: ProgramDescription): string {
  const { wants, offers, refused } = program;
  const dim = (text: string): string => paint('dim', text, process.stdout);
  const bold = (text: string): string => paint('bold', text, process.stdout);
  const lines = [`${bold(clean(file))}  ${showSize(program.bytes)}`, ...facts(program)];
  lines.push('', bold('wants'));
  const wanted = [
    ...wants.wasi.map(partLine),
    ...wants.kernel.map((part) => partLine({ ...part, part: `Perdure: ${part.part}` })),
    ...wants.gates.map(
      ({ grant, name, type }) =>
        `${clean(grant)}.${clean(name)}${type}  ${dim('(of a program granted to it)')}`,
    ),
    ...(wants.compiler ? ['the compiler, to make code while it runs: --grant compiler'] : []),
    ...wants.unknown.map((text) => paint('red', `${clean(text)}: nobody supplies it`, process.stdout)),
  ];
  lines.push(...(wanted.length === 0 ? ['nothing'] : wanted).map((line) => `  ${line}`));
  lines.push('', bold('offers'));
  const functions = offers.functions.slice(0, NAMED).map(({ name, type }) => `${clean(name)}${type}`);
  if (offers.functions.length > NAMED) functions.push(`and ${offers.functions.length - NAMED} more`);
  const offered = [...offers.procedures.map(offerLine), ...functions];
  lines.push(...(offered.length === 0 ? ['nothing'] : offered).map((line) => `  ${line}`));
  lines.push('', verdict(refused, wants.unknown.length));
  return `${lines.join('\n')}\n`;
}

function facts(program: ProgramDescription): string[] {
  const { tools, languages, starts, memories } = program;
  const made = [tools.join(', '), languages.length === 0 ? '' : `from ${languages.join(', ')}`];
  const memory = memories.map(({ minBytes, maxBytes, shared }) => {
    const most = maxBytes === null ? 'may grow to its limit' : `may grow to ${showSize(maxBytes)}`;
    const grows = maxBytes === minBytes ? 'does not grow' : most;
    return `${showSize(minBytes)}, ${grows}${shared ? ', shared' : ''}`;
  });
  const rows: [string, string][] = [
    ['sha256', program.sha256],
    ['made by', clean(made.filter((text) => text !== '').join(' ')) || 'it does not say'],
    ['memory', memory.join('; ') || 'none'],
    ['begins with', starts.join(', ') || 'nothing: it is called'],
  ];
  return rows.map(([name, value]) => `  ${name.padEnd(WIDTH)}${value}`);
}

function partLine({ part, functions }: Part): string {
  const names = functions.slice(0, NAMED).map(clean);
  if (functions.length > NAMED) names.push(`and ${functions.length - NAMED} more`);
  return `${part}  ${paint('dim', `(${names.join(', ')})`, process.stdout)}`;
}

/** `name(i32, capability) -> i32  (a gate; others may come in meanwhile)` */
function offerLine({ name, type, entry, capabilityParams, capabilityResults }: OfferDescription): string {
  const [params = '', results] = type.split(' -> ');
  const marked = (list: string, capabilities: readonly number[]): string =>
    list
      .split(', ')
      .map((each, i) => (capabilities.includes(i) ? 'capability' : each))
      .join(', ');
  const inside = `(${marked(params.slice(1, -1), capabilityParams)})`;
  const out = results === undefined ? '' : ` -> ${marked(results, capabilityResults)}`;
  const more = { exclusive: '', nested: '; may be entered again from within', concurrent: '; many at once' }[
    entry
  ];
  return `${clean(name)}${inside}${out}  ${paint('dim', `(a gate${more})`, process.stdout)}`;
}

function verdict(refused: ProgramDescription['refused'], unknown: number): string {
  if (refused !== null) return paint('red', `it is refused: ${clean(refused.message)}`, process.stdout);
  if (unknown > 0) {
    return paint(
      'yellow',
      'it is refused for what nobody supplies, unless with --trap-unknown-imports',
      process.stdout,
    );
  }
  return paint('green', 'it can be installed, and persists', process.stdout);
}
