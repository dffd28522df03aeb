/**
 * The part of the WebAssembly JavaScript interface that Perdure uses, with memory64, shared memories, tags
 * and exceptions. Written down here because the language's own library has it only together with the whole
 * browser DOM, which nothing here may use.
 */
declare namespace WebAssembly {
  type Bytes = ArrayBufferView<ArrayBuffer> | ArrayBuffer;
  type AddressType = 'i32' | 'i64';
  type ValueTypeName = 'i32' | 'i64' | 'f32' | 'f64' | 'v128' | 'anyfunc' | 'externref' | 'exnref';
  type ExternKindName = 'function' | 'global' | 'memory' | 'table' | 'tag';
  // biome-ignore lint/suspicious/noExplicitAny: an exported function takes whatever its module says
  type Func = (...values: any[]) => any;
  type ExternValue = Func | Global | Memory | Table | Tag | number | bigint;
  type Exports = Record<string, Func | Global | Memory | Table | Tag>;
  type Imports = Record<string, Record<string, ExternValue>>;

  function validate(bytes: Bytes): boolean;
  function compile(bytes: Bytes): Promise<Module>;
  function instantiate(module: Module, imports?: Imports): Promise<Instance>;

  class Module {
    constructor(bytes: Bytes);
    static customSections(module: Module, name: string): ArrayBuffer[];
    static exports(module: Module): { name: string; kind: ExternKindName }[];
    static imports(module: Module): { module: string; name: string; kind: ExternKindName }[];
  }

  class Instance {
    constructor(module: Module, imports?: Imports);
    readonly exports: Exports;
  }

  interface MemoryDescriptor {
    initial: number | bigint;
    maximum?: number | bigint;
    shared?: boolean;
    /** With 'i64', sizes are bigints. */
    address?: AddressType;
  }

  class Memory {
    constructor(descriptor: MemoryDescriptor);
    readonly buffer: ArrayBuffer | SharedArrayBuffer;
    grow(delta: number): number;
    grow(delta: bigint): bigint;
  }

  interface TableDescriptor {
    element: 'anyfunc' | 'externref' | 'exnref';
    initial: number | bigint;
    maximum?: number | bigint;
    address?: AddressType;
  }

  class Table {
    constructor(descriptor: TableDescriptor, value?: unknown);
    /** A bigint for a table with 64-bit addresses. */
    readonly length: number | bigint;
    // biome-ignore lint/suspicious/noExplicitAny: a function or any reference
    get(index: number | bigint): any;
    set(index: number | bigint, value?: unknown): void;
    grow(delta: number | bigint, value?: unknown): number;
  }

  class Global {
    constructor(descriptor: { value: ValueTypeName; mutable?: boolean }, value?: unknown);
    // biome-ignore lint/suspicious/noExplicitAny: a number, a bigint or a reference
    value: any;
    // biome-ignore lint/suspicious/noExplicitAny: a number, a bigint or a reference
    valueOf(): any;
  }

  class Tag {
    constructor(descriptor: { parameters: ValueTypeName[] });
  }

  class Exception extends Error {
    constructor(tag: Tag, payload: unknown[], options?: { traceStack?: boolean });
    is(tag: Tag): boolean;
    // biome-ignore lint/suspicious/noExplicitAny: a number, a bigint or a reference
    getArg(tag: Tag, index: number): any;
  }

  class CompileError extends Error {}
  class LinkError extends Error {}
  class RuntimeError extends Error {}
}
