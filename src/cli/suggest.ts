/** The word that was probably meant: `suggest('rnu', ['run', 'up'])` is 'run'. Never acts on it, only says so. */

/** The nearest of `words` within two edits (a swap of neighbours is one), or undefined. */
export function suggest(typed: string, words: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.min(2, Math.ceil(typed.length / 2)) + 1;
  for (const word of words) {
    const edits = distance(typed, word);
    if (edits < least) {
      least = edits;
      best = word;
    }
  }
  return best;
}

/** Edits from `a` to `b`: insert, delete, replace, swap of neighbours. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let edits = Math.min(row[j]! + 1, next[j - 1]! + 1, replace);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        edits = Math.min(edits, before[j - 2]! + 1);
      }
      next.push(edits);
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}
