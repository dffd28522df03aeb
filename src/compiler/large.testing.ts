/**
 * Programs that are large in one way each, as an adversary would make them: a pass that searches, or copies a set, at
 * each step takes minutes on these, while one that is linear takes a second.
 */
import { constExpr } from '../wasm/constexpr.ts';
import { emptyModule, encodeModule, type Module } from '../wasm/module.ts';
import { OP } from '../wasm/opcodes.ts';
import { EMPTY_BLOCK, FUNCREF, I32, I64 } from '../wasm/types.ts';
import { Writer } from '../wasm/writer.ts';

/** A module whose function 1 has this body and this many locals of i32; function 0 is imported and takes nothing. */
function withBody(locals: number, emit: (w: Writer) => void, change: (module: Module) => void = () => {}) {
  const w = new Writer();
  emit(w);
  w.u8(OP.end);
  const module = emptyModule();
  module.types = [{ params: [], results: [] }];
  module.imports = [{ module: 'm', name: 'f', kind: 'func', type: 0 }];
  module.memories = [{ min: 1n, max: undefined, is64: false, shared: false }];
  module.functions = [0];
  module.tags = [{ type: 0 }];
  module.exports = [{ name: 'g', kind: 'func', index: 1 }];
  const runs = locals === 0 ? [] : [{ count: locals, type: I32 }];
  module.codes = [{ locals: runs, source: w.bytes, start: 0, end: w.length }];
  change(module);
  return encodeModule(module);
}

const call = (w: Writer): void => {
  w.u8(OP.call);
  w.u32(0);
};
const i32 = (w: Writer, value: number): void => {
  w.u8(OP.i32_const);
  w.s32(value);
};
const local = (w: Writer, op: number, index: number): void => {
  w.u8(op);
  w.u32(index);
};
const open = (w: Writer, op: number): void => {
  w.u8(op);
  w.s33(EMPTY_BLOCK);
};
const times = (count: number, step: (i: number) => void): void => {
  for (let i = 0; i < count; i++) step(i);
};

/** By name: a program `n` large. */
export const LARGE: Readonly<Record<string, (n: number) => Uint8Array<ArrayBuffer>>> = {
  'globals, read before ifs in one another': (n) =>
    withBody(
      0,
      (w) => {
        times(n, (i) => {
          w.u8(OP.global_get);
          w.u32(i);
          w.u8(OP.i32_load);
          w.u32(2);
          w.u32(0);
          w.u8(OP.drop);
        });
        times(n, (i) => {
          i32(w, i);
          open(w, OP.if);
        });
        times(n, () => w.u8(OP.end));
      },
      (module) => {
        const init = constExpr([{ op: OP.i32_const, value: 0 }]);
        module.globals = Array.from({ length: n }, () => ({ type: I32, mutable: true, init }));
      },
    ),
  'blocks in one another, with a branch out of each': (n) =>
    withBody(1, (w) => {
      times(n, () => open(w, OP.block));
      times(n, (i) => {
        i32(w, i);
        w.u8(OP.br_if);
        w.u32(n - 1 - i);
        w.u8(OP.end);
      });
    }),
  'loops in one another, each using what the next one out sets': (n) =>
    withBody(n + 1, (w) => {
      times(n, (i) => {
        open(w, OP.loop);
        local(w, OP.local_get, i);
        w.u8(OP.drop);
      });
      times(n, (i) => {
        local(w, OP.local_get, i);
        w.u8(OP.br_if);
        w.u32(i % 2 === 0 ? 0 : Math.min(n - 1 - i, 1));
        w.u8(OP.end);
      });
    }),
  'a table of branches to as many blocks': (n) =>
    withBody(0, (w) => {
      times(n, () => open(w, OP.block));
      i32(w, 0);
      w.u8(OP.br_table);
      w.u32(n);
      times(n + 1, (i) => w.u32(Math.min(i, n - 1)));
      times(n, () => w.u8(OP.end));
    }),
  'as many locals as there may be, live at every call': (n) =>
    withBody(49_900, (w) => {
      times(49_900, (i) => {
        local(w, OP.local_get, i);
        w.u8(OP.drop);
      });
      times(n, (i) => {
        local(w, OP.local_get, i % 49_900);
        local(w, OP.local_set, (i * 7) % 49_900);
        call(w);
      });
    }),
  'calls one after the other': (n) => withBody(2, (w) => times(n, () => call(w))),
  'calls above a deep stack of operands': (n) =>
    withBody(1, (w) => {
      times(n, (i) => i32(w, i));
      times(n, (i) => {
        local(w, OP.local_set, 0);
        i32(w, i);
        local(w, OP.local_tee, 0);
        w.u8(OP.drop);
      });
    }),
  'try_tables in one another, each catching to a loop about all': (n) =>
    withBody(1, (w) => {
      open(w, OP.loop);
      times(n, (i) => {
        open(w, OP.try_table);
        w.u32(1);
        w.u8(0);
        w.u32(0);
        w.u32(i);
      });
      call(w);
      times(n + 1, () => w.u8(OP.end));
    }),
  'a try_table with a clause for each of the loops about it': (n) =>
    withBody(1, (w) => {
      times(n, () => open(w, OP.loop));
      open(w, OP.try_table);
      w.u32(n);
      times(n, (i) => {
        w.u8(0);
        w.u32(0);
        w.u32(i);
      });
      call(w);
      times(n + 1, () => w.u8(OP.end));
    }),
  'ifs with accesses in both arms, in one another': (n) =>
    withBody(100, (w) => {
      times(n, (i) => {
        local(w, OP.local_get, i % 100);
        w.u8(OP.i32_load);
        w.u32(0);
        w.u32(i % 64);
        open(w, OP.if);
        w.u8(OP.else);
      });
      times(n, () => w.u8(OP.end));
    }),
  'blocks one after the other, behind checks of many locals': (n) =>
    withBody(200, (w) => {
      times(200, (i) => {
        local(w, OP.local_get, i);
        w.u8(OP.i32_load);
        w.u32(0);
        w.u32(0);
        w.u8(OP.drop);
      });
      times(n, () => {
        open(w, OP.block);
        w.u8(OP.end);
      });
    }),
  'functions, each with all the locals there may be': (n) =>
    withBody(
      0,
      () => {},
      (module) => {
        const body = module.codes[0]!;
        module.functions = Array.from({ length: n / 10 }, () => 0);
        module.codes = Array.from({ length: n / 10 }, () => ({
          ...body,
          locals: [{ count: 50_000, type: I64 }],
        }));
      },
    ),
  'types, globals, exports and functions': (n) =>
    withBody(
      0,
      () => {},
      (module) => {
        const body = module.codes[0]!;
        times(n, (i) => {
          const params = Array.from({ length: 17 }, (_, bit) => ((i >>> bit) & 1 ? I32 : I64));
          module.types.push({ params, results: [] });
          module.globals.push({
            type: I32,
            mutable: true,
            init: constExpr([{ op: OP.i32_const, value: i }]),
          });
          module.functions.push(0);
          module.codes.push(body);
          module.exports.push({ name: `e${i}`, kind: 'func', index: i + 1 });
        });
      },
    ),
  'data segments, elements and references to functions': (n) =>
    withBody(
      0,
      () => {},
      (module) => {
        const body = module.codes[0]!;
        module.tables = [{ min: BigInt(n), max: undefined, is64: false, element: FUNCREF }];
        const offset = constExpr([{ op: OP.i32_const, value: 0 }]);
        module.elements.push({
          ...{ mode: 'active', table: 0, offset, type: FUNCREF },
          ...{ functions: Array.from({ length: n }, (_, i) => i + 1), expressions: undefined },
        });
        times(n, () => {
          module.functions.push(0);
          module.codes.push(body);
          module.datas.push({
            ...{ mode: 'active', memory: 0, offset },
            ...{ source: body.source, start: 0, end: 1 },
          });
        });
      },
    ),
};
