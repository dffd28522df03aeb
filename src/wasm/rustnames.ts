/**
 * Names of Rust's older mangling as people write them: `_ZN4core9panicking5panic17h0123456789abcdefE` is
 * `core::panicking::panic`. Other names are given back as they are: linkers demangle those of C++ themselves.
 */

const SIGNS: Readonly<Record<string, string>> = {
  SP: '@',
  BP: '*',
  RF: '&',
  LT: '<',
  GT: '>',
  LP: '(',
  RP: ')',
  C: ',',
};

export function demangled(name: string): string {
  const body = /^_?_ZN(.*)E(?:\.llvm\.[0-9A-F]+)?$/s.exec(name)?.[1];
  if (body === undefined) return name;
  const parts: string[] = [];
  for (let at = 0; at < body.length; ) {
    const digits = /^\d{1,4}/.exec(body.slice(at, at + 4))?.[0];
    if (digits === undefined) return name;
    const start = at + digits.length;
    at = start + Number(digits);
    if (at > body.length) return name;
    parts.push(body.slice(start, at));
  }
  // Only Rust ends its names with a hash.
  if (!/^h[0-9a-f]{16}$/.test(parts.pop() ?? '')) return name;
  return parts.map(plainPart).join('::');
}

function plainPart(part: string): string {
  return part
    .replace(/^_(?=\$)/, '')
    .replaceAll('..', '::')
    .replace(/\$(?:u([0-9a-f]{1,6})|([A-Z]{1,2}))\$/g, (whole, code?: string, sign?: string) => {
      if (sign !== undefined) return SIGNS[sign] ?? whole;
      const point = Number.parseInt(code as string, 16);
      return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
    });
}
