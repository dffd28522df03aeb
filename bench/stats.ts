/** Figures out of many runs, and tables of them. */

/** A figure with its spread: `value` is the median. */
export interface Figure {
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly runs: number;
}

export function median(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function figure(list: readonly number[]): Figure {
  return { value: median(list), min: Math.min(...list), max: Math.max(...list), runs: list.length };
}

export function geomean(list: readonly number[]): number {
  return Math.exp(list.reduce((sum, x) => sum + Math.log(x), 0) / list.length);
}

/** A number with three digits that matter. */
export function short(n: number): string {
  if (!Number.isFinite(n)) return String(n);
  if (Math.abs(n) >= 1000) return Math.round(n).toString();
  return n.toFixed(Math.abs(n) >= 100 ? 0 : Math.abs(n) >= 10 ? 1 : Math.abs(n) >= 1 ? 2 : 3);
}

/** One line on a figure beside what it is to be at most, or with `least` at least. */
export function aim(what: string, value: number, bound: number, least = false): string {
  const missed = least ? 1 - value / bound : value / bound - 1;
  const verdict = missed <= 0 ? 'met' : `missed by ${short(missed * 100)} %`;
  return `${what}: ${short(value)}, aim at ${least ? 'least' : 'most'} ${bound}, ${verdict}`;
}

/** Rows as a table: the first column to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
