/**
 * The examples in the comments of the guest libraries: lines further in than the text around them, in the comment in front
 * of a declaration. Tests compile and run every one of them.
 */

export interface Example {
  /** What is declared after the comment. */
  readonly name: string;
  /** Where its first line is. */
  readonly line: number;
  readonly code: string;
}

/** How a library's language writes comments and declarations. */
export interface Language {
  /** A comment and the declaration after it: comment in group 1, name in group 2. */
  readonly documented: RegExp;
  /** A line of an example: its text in group 1. */
  readonly codeLine: RegExp;
  /** Names that are declared for everybody. */
  readonly declared: RegExp;
}

export const C: Language = {
  documented: /\/\*\n((?: \*.*\n)*?) \*\/\n(?:[^;{/]*?\b(perdure_\w+[a-z0-9])\s*\(|#define (PERDURE_\w+))/g,
  codeLine: /^ \* {5}(.*)$/,
  declared: /^(?:static inline |)(?:\w+ )+\*?(perdure_\w*[a-z0-9])\(/gm,
};
export const ASSEMBLY_SCRIPT: Language = {
  documented:
    /((?:^ *\/\/.*\n)+)(?:^ *@.*\n)*^ *(?:export (?:@inline )?(?:declare )?(?:function|class)|static|) *(\w+)/gm,
  codeLine: /^ *\/\/ {5}(.*)$/,
  declared: /^export (?:declare )?(?:function|class) (\w+)/gm,
};

/** All examples of a source text, in order. */
export function examplesOf(text: string, { documented, codeLine }: Language): Example[] {
  const found: Example[] = [];
  for (const match of text.matchAll(documented)) {
    const comment = match[1] ?? '';
    const start = text.slice(0, match.index + match[0].indexOf(comment)).split('\n').length;
    const lines = comment.split('\n').map((line) => codeLine.exec(line)?.[1]);
    const first = lines.findIndex((line) => line !== undefined);
    if (first < 0) continue;
    const code = lines.filter((line) => line !== undefined).join('\n');
    found.push({ name: match[2] ?? match[3] ?? '', line: start + first, code });
  }
  return found;
}

/** Names of what a source text offers. */
export function declaredIn(text: string, { declared }: Language): string[] {
  return [...text.matchAll(declared)].map((match) => match[1] as string);
}
