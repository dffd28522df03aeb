/** What a table of a module holds, as far as JavaScript can see it. */

/** The first elements, at most 64; null for what cannot be read from outside. */
export function elements(table: WebAssembly.Table): unknown[] {
  const wide = typeof table.length === 'bigint';
  return Array.from({ length: Math.min(64, Number(table.length)) }, (_, i) => {
    try {
      return table.get(wide ? BigInt(i) : i) as unknown;
    } catch {
      return null; // exnref
    }
  });
}
