/** How answers look to people: the table of `ps`, the page of `inspect`. Text in, text out; nothing is printed here. */
import { clean, paint, type Style } from './output.ts';
import type {
  CallFrame,
  DomainSummary,
  ExitReport,
  FrameReport,
  Inspection,
  StackReport,
  ValueReport,
} from './types.ts';
import { showSize, showTime } from './units.ts';

/** 'running', 'exited (3)', … */
export function stateText(domain: DomainSummary): string {
  return domain.state === 'exited' ? `exited (${domain.exitCode})` : domain.state;
}

function stateStyle(domain: DomainSummary): Style {
  if (domain.state === 'exited') return domain.exitCode === 0 ? 'dim' : 'red';
  return domain.state === 'suspended' ? 'yellow' : 'green';
}

function commandText({ arguments: list }: DomainSummary, most: number): string {
  const text = clean(list.join(' '));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** Records of older spaces do not tell: then there was only one kind. */
const isolationOf = (domain: DomainSummary): string => domain.isolation ?? 'space';

/** The table of `perdure ps`. */
export function domainTable(domains: readonly DomainSummary[]): string {
  const head = ['NAME', 'STATE', 'ISOLATION', 'CPU', 'MEMORY', 'COMMAND'];
  const rows = domains.map((domain) => [
    clean(domain.name),
    stateText(domain),
    isolationOf(domain),
    showTime(domain.cpuMs),
    showSize(domain.memoryBytes),
    commandText(domain, 60),
  ]);
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  );
  const line = (cells: readonly string[], style?: Style) =>
    cells
      .map((cell, column) => {
        const padded = column === head.length - 1 ? cell : cell.padEnd(widths[column]!);
        return style !== undefined && column === 1 ? paint(style, padded, process.stdout) : padded;
      })
      .join('  ')
      .trimEnd();
  const lines = [line(head), ...rows.map((row, index) => line(row, stateStyle(domains[index]!)))];
  return `${lines.join('\n')}\n`;
}

/** The page of `perdure inspect`. */
export function inspectionPage(domain: Inspection): string {
  const limit = domain.cpuLimitMs === null ? '' : ` of ${showTime(domain.cpuLimitMs)}`;
  const facts: [string, string][] = [
    ['state', stateText(domain)],
    ['command', commandText(domain, 400)],
    ['program', `sha256 ${domain.program}`],
    ['isolation', isolationOf(domain)],
    ['cpu', `${showTime(domain.cpuMs)}${limit}`],
    ['memory', `${showSize(domain.memoryBytes)} of ${showSize(domain.memoryLimitBytes)}`],
    ['checkpoint', String(domain.checkpoint)],
  ];
  if (domain.made !== undefined) {
    const { modules, released, codeBytes } = domain.made;
    const gone = released === 0 ? '' : `, ${released} released`;
    facts.push(['made', `${modules} modules of code, ${showSize(codeBytes)}${gone}`]);
  }
  const uses = Object.entries(domain.account ?? {}).filter(
    ([name, { used }]) => used > 0 && !TOLD.includes(name),
  );
  if (uses.length > 0) {
    facts.push([
      'uses',
      uses
        .map(([name, { used, limit }]) => {
          const show = name === 'outbox' ? showSize : String;
          return `${name} ${show(used)}${limit === null ? '' : ` of ${show(limit)}`}`;
        })
        .join(', '),
    ]);
  }
  facts.push(...capabilityFacts(domain), ...mappingFacts(domain));
  if (domain.reason !== null) facts.splice(1, 0, ['reason', clean(domain.reason.split('\n')[0]!)]);
  const lines = [paint('bold', clean(domain.name), process.stdout)];
  for (const [name, value] of facts) lines.push(`  ${name.padEnd(11)}${value}`);
  lines.push('', ...stackLines(domain));
  return `${lines.join('\n')}\n`;
}

/** Resources that have a line of their own. */
const TOLD: readonly string[] = ['memory', 'cpu'];

/** A line for each capability: its name or handle, what it is to, what may be done with it. */
function capabilityFacts({ capabilities, capabilityCount }: Inspection): [string, string][] {
  if (capabilities.length === 0) return [];
  const lines = capabilities.map(({ handle, name, kind, state, rights, badge }) => {
    const called = name === null ? `handle ${handle}` : clean(name);
    const what = kind === null ? state : `${kind}: ${rights.join(' ')}`;
    const asks = state === 'asks' ? '  by a kind' : '';
    return `${called}  ${what}${badge === '0' ? '' : `  badge ${badge}`}${asks}`;
  });
  if (capabilityCount > lines.length) lines.push(`… ${capabilityCount - lines.length} more …`);
  return lines.map((line, i) => [i === 0 ? 'holds' : '', line]);
}

/** A line for each mapping: where it is, and what it is called. */
function mappingFacts({ mappings = [], capabilities }: Inspection): [string, string][] {
  return mappings.map(({ address, bytes, offset, writable, object }, i) => {
    const called = capabilities.find((each) => each.object === object && each.name !== null)?.name;
    const where = `0x${address.toString(16)}  ${showSize(bytes)}`;
    const part = offset === 0 ? '' : ` from ${offset} on`;
    const name = called === undefined || called === null ? '' : `  ${clean(called)}`;
    return [i === 0 ? 'maps' : '', `${where}${name}${part}${writable ? '' : ', read only'}`];
  });
}

function stackLines(domain: Inspection): string[] {
  const { calls, visits, visitCount } = domain;
  if (domain.stack.length + calls.length + visitCount === 0) {
    return ['it has no call stack: it has ended or not begun'];
  }
  const when = domain.state === 'exited' ? ' when it ended' : '';
  const lines: string[] = [];
  if (domain.stack.length + calls.length > 0) {
    lines.push(`call stack${when}, innermost first:`, ...reachedLines(domain, domain.name));
  }
  for (const visit of visits) {
    const who = visit.caller === null ? 'from outside' : `by ${clean(visit.caller)}`;
    const what = visit.procedure === null ? 'asked' : `${clean(visit.procedure)} called`;
    const state = visit.waiting ? ' (waits until it may begin)' : ', innermost first:';
    lines.push(`${what} ${who}${state}`, ...reachedLines(visit, domain.name));
  }
  if (visitCount > visits.length) lines.push(`… ${visitCount - visits.length} more calls …`);
  return lines;
}

/** A call's frames in a program, behind those in the programs that it has reached from there. */
function reachedLines(report: StackReport & Pick<Inspection, 'calls'>, name: string): string[] {
  if (report.calls.length === 0) return frameList(report);
  const title = (of: string): string => `  in ${clean(of)}:`;
  const reached = report.calls.flatMap((call) => [title(call.name), ...frameList(call)]);
  return [...reached, title(name), ...frameList(report)];
}

function frameList({ stack, omitted, omittedAt, atLeast }: StackReport): string[] {
  const lines: string[] = [];
  stack.forEach((frame, i) => {
    if (omitted > 0 && i === omittedAt) lines.push(`  ${omittedText(omitted, atLeast)}`);
    lines.push(...frameLines(frame, i < omittedAt || omitted === 0 ? i : i + omitted));
  });
  return lines;
}

/** `name (file.c:12:5)  +0x1a2` */
function placeText(frame: CallFrame, stream: NodeJS.WriteStream): string {
  const { functionName, source, offset, inlined, made } = frame;
  const of = made === undefined ? '' : ` (made at run time, module ${made})`;
  const where = source === null ? of : ` (${clean(sourceText(source))})`;
  const how = inlined ? '  inlined' : offset === 0 ? '' : `  +0x${offset.toString(16)}`;
  return `${paint('bold', clean(functionName), stream)}${where}${paint('dim', how, stream)}`;
}

function sourceText({ file, line, column }: NonNullable<CallFrame['source']>): string {
  return column === 0 ? `${file}:${line}` : `${file}:${line}:${column}`;
}

const omittedText = (count: number, atLeast = false): string =>
  `… ${atLeast ? 'at least ' : ''}${count} frame${count === 1 ? '' : 's'} left out …`;

/** The call stack of a program that ended, a line a frame, without line ends. For standard error. */
export function traceLines({ frames, omitted, omittedAt, atLeast }: ExitReport): string[] {
  const lines = frames.map((frame) => `  at ${placeText(frame, process.stderr)}`);
  if (omitted > 0) lines.splice(omittedAt, 0, `  ${omittedText(omitted, atLeast)}`);
  return lines;
}

function frameLines(frame: FrameReport, depth: number): string[] {
  const lines = [`  #${String(depth).padEnd(3)} ${placeText(frame, process.stdout)}`];
  const values = (title: string, list: readonly ValueReport[]) => {
    if (list.length > 0) lines.push(`        ${title}: ${list.map(valueText).join('  ')}`);
  };
  values('locals', frame.locals);
  values('operands', frame.operands);
  return lines;
}

function valueText(value: ValueReport): string {
  const name = value.name === '' ? '' : `${clean(value.name)}=`;
  return `${name}${value.value}:${value.type}`;
}
