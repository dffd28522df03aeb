/**
 * For AssemblyScript's compiler: lets a program offer procedures to others, which AssemblyScript has no names for.
 *
 *     @gate("add!concurrent")
 *     export function add(a: i32, b: i32): i32 { return a + b; }
 *
 *     asc program.ts --transform ./node_modules/perdure/guests/assembly/gates.mjs
 *
 * exports the function as `gate:add!concurrent` (what may stand behind the name, and how capabilities pass:
 * guests/include/perdure/gate.h).
 */
export default class Gates {
  #declared = new Map();

  afterParse(parser) {
    for (const { statements } of parser.sources) {
      for (const { name, decorators } of statements) {
        for (const { name: decorator, args } of decorators ?? []) {
          if (decorator.text === 'gate') this.#declared.set(name.text, args?.[0]?.value ?? name.text);
        }
      }
    }
  }

  afterCompile(module) {
    for (const [name, declaration] of this.#declared) {
      const exported = module.getExport(name);
      if (!exported) throw new Error(`@gate("${declaration}"): the program does not export ${name}`);
      const { value } = this.binaryen.getExportInfo(exported);
      module.removeExport(name);
      module.addFunctionExport(value, `gate:${declaration}`);
    }
  }
}
