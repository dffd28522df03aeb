/** How answers look to people: the table of `ps`, the page of `inspect`. Text in, text out; nothing is printed here. */
import { clean, paint, type Style } from './output.ts';
import type { DomainSummary, FrameReport, Inspection, ValueReport } from './types.ts';
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

/** The table of `perdure ps`. */
export function domainTable(domains: readonly DomainSummary[]): string {
  const head = ['NAME', 'STATE', 'CPU', 'MEMORY', 'COMMAND'];
  const rows = domains.map((domain) => [
    clean(domain.name),
    stateText(domain),
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
    ['cpu', `${showTime(domain.cpuMs)}${limit}`],
    ['memory', `${showSize(domain.memoryBytes)} of ${showSize(domain.memoryLimitBytes)}`],
    ['checkpoint', String(domain.checkpoint)],
  ];
  if (domain.reason !== null) facts.splice(1, 0, ['reason', clean(domain.reason.split('\n')[0]!)]);
  const lines = [paint('bold', clean(domain.name), process.stdout)];
  for (const [name, value] of facts) lines.push(`  ${name.padEnd(11)}${value}`);
  lines.push('', ...stackLines(domain));
  return `${lines.join('\n')}\n`;
}

function stackLines(domain: Inspection): string[] {
  if (domain.stack.length === 0) return ['it has no call stack: it has ended or not begun'];
  const lines = ['call stack, innermost first:'];
  domain.stack.forEach((frame, depth) => void lines.push(...frameLines(frame, depth)));
  if (domain.omitted > 0) lines.push(`  … and ${domain.omitted} frames more`);
  return lines;
}

function frameLines(frame: FrameReport, depth: number): string[] {
  const name = frame.functionName === null ? `function ${frame.functionIndex}` : clean(frame.functionName);
  const place = frame.offset === 0 ? 'in a system call' : `at 0x${frame.offset.toString(16)}`;
  const lines = [`  #${String(depth).padEnd(3)} ${paint('bold', name, process.stdout)} ${place}`];
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
