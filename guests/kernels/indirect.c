/* Indirect calls: a stack machine whose instructions are functions in a table. */
#define DEFAULT_ROUNDS 100
#include "kernel.h"

typedef struct machine machine;
typedef void (*operation)(machine *);
struct machine { int32_t stack[64]; int32_t *top; const uint8_t *pc; int running; uint32_t steps; };

static void o_push(machine *m) { *++m->top = (int8_t)*m->pc++; }
static void o_add(machine *m) { m->top--; m->top[0] += m->top[1]; }
static void o_mul(machine *m) { m->top--; m->top[0] = (int32_t)((uint32_t)m->top[0] * (uint32_t)m->top[1]); }
static void o_xor(machine *m) { m->top--; m->top[0] ^= m->top[1]; }
static void o_dup(machine *m) { m->top++; m->top[0] = m->top[-1]; }
static void o_swap(machine *m) { int32_t t = m->top[0]; m->top[0] = m->top[-1]; m->top[-1] = t; }
static void o_over(machine *m) { m->top++; m->top[0] = m->top[-2]; }
static void o_drop(machine *m) { m->top--; }
static void o_loop(machine *m) { int8_t to = (int8_t)*m->pc++; if (*m->top) m->pc += to; }
static void o_shift(machine *m) { m->top[0] = (int32_t)((uint32_t)m->top[0] >> 3); }
static void o_end(machine *m) { m->running = 0; }
static operation operations[] = {o_push, o_add, o_mul, o_xor, o_dup, o_swap, o_over, o_drop, o_loop, o_shift, o_end};
enum { PUSH, ADD, MUL, XOR, DUP, SWAP, OVER, DROP, LOOP, SHIFT, END };

/* stack: value count; value = (value * 33 ^ count) + (value >> 3), count - 1, until count is 0 */
static const uint8_t program[] = {SWAP, DUP, SHIFT, SWAP, PUSH, 33, MUL, ADD, OVER, XOR, SWAP,
                                  PUSH, (uint8_t)-1, ADD, LOOP, (uint8_t)-16, DROP, END};

static uint64_t kernel(uint32_t rounds) {
  uint64_t sum = 0;
  machine m;
  for (uint32_t r = 0; r < rounds; r++) {
    m.top = m.stack;
    m.stack[0] = (int32_t)(r + 1);
    *++m.top = 20000;
    m.pc = program;
    m.running = 1;
    m.steps = 0;
    while (m.running) {
      operations[*m.pc++](&m);
      m.steps++;
    }
    sum = sum * 31 + (uint32_t)m.stack[0] + m.steps;
  }
  return sum;
}
