/*
 * A regular expression compiler: makes of each expression a WebAssembly module with one function, has it compiled through
 * perdure_compiler, and calls it. `regex FILE EXPRESSION... [-n ROUNDS]` prints the lines of FILE (- for standard input)
 * that match, then how many there were; with -n it looks ROUNDS times and only counts.
 *
 * Expressions: . [a-z] [^a-z] ( ) | * + ? ^ $ \d \w \s and \ before any other character. Matching takes time that is
 * linear in the text: expression -> nodes -> sets of nodes (states) -> code, one block a state.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((import_module("perdure_compiler"), import_name("compile"))) int
make(const void *code, uint32_t length, char *error, uint32_t capacity);
__attribute__((import_module("perdure_compiler"), import_name("release"))) int
release(int first);

/* The start of the first line in [text, end) that matches, or null. */
typedef const char *(*finder)(const char *text, const char *end);

static _Noreturn void fail(const char *what, const char *more) {
  fprintf(stderr, "regex: %s%s\n", what, more);
  exit(2);
}

/* Nodes: what a place in the expression does next. */
enum { NODES = 1000, STATES = 300 };
typedef enum { SPLIT, BYTES, AT_START, AT_END, MATCH } kind;
static struct {
  kind kind;
  int out, other;
  uint8_t set[32];
} nodes[NODES];
static int node_count;

static int node(kind k, int out, int other) {
  if (node_count == NODES) fail("the expression is too long", "");
  nodes[node_count].kind = k;
  nodes[node_count].out = out;
  nodes[node_count].other = other;
  memset(nodes[node_count].set, 0, 32);
  return node_count++;
}
static void add(int n, int from, int to) {
  for (int c = from; c <= to; c++) nodes[n].set[c >> 3] |= 1 << (c & 7);
}
static int has(int n, int c) { return nodes[n].set[c >> 3] >> (c & 7) & 1; }
static void invert(int n) {
  for (int i = 0; i < 32; i++) nodes[n].set[i] = ~nodes[n].set[i];
}

/* The parser makes the nodes from the back, so that each knows what comes after it: a part is parsed again to be repeated. */
static const char *at;
static int alternatives(int next);

static int shorthand(int n, char c) {
  if (c == 'd') add(n, '0', '9');
  else if (c == 's') add(n, '\t', '\r'), add(n, ' ', ' ');
  else if (c == 'w') add(n, '0', '9'), add(n, 'a', 'z'), add(n, 'A', 'Z'), add(n, '_', '_');
  else return 0;
  return 1;
}
static int class(int next) {
  int n = node(BYTES, next, -1), not = *at == '^';
  if (not) at++;
  for (const char *first = at; *at != ']' || at == first; ) {
    if (*at == 0) fail("a [ is not closed", "");
    if (*at == '\\' && at[1] != 0 && shorthand(n, at[1])) { at += 2; continue; }
    if (*at == '\\' && at[1] != 0) at++;
    int from = (uint8_t)*at++, to = from;
    if (*at == '-' && at[1] != ']' && at[1] != 0) to = (uint8_t)at[1], at += 2;
    add(n, from, to);
  }
  at++;
  if (not) invert(n);
  return n;
}
static int atom(int next) {
  char c = *at++;
  if (c == '(') {
    int n = alternatives(next);
    if (*at++ != ')') fail("a ( is not closed", "");
    return n;
  }
  if (c == '[') return class(next);
  if (c == '^') return node(AT_START, next, -1);
  if (c == '$') return node(AT_END, next, -1);
  int n = node(BYTES, next, -1);
  if (c == '.') invert(n);
  else if (c == '\\' && *at != 0) {
    c = *at++;
    if (!shorthand(n, c)) add(n, (uint8_t)c, (uint8_t)c);
  } else add(n, (uint8_t)c, (uint8_t)c);
  return n;
}
/* Where an atom ends that begins here. */
static const char *behind(const char *p) {
  if (*p == '\\' && p[1] != 0) return p + 2;
  if (*p == '[') {
    const char *first = p + 1 + (p[1] == '^');
    for (p = first; *p != ']' || p == first; p++) {
      if (*p == 0) fail("a [ is not closed", "");
      if (*p == '\\' && p[1] != 0) p++;
    }
    return p + 1;
  }
  if (*p != '(') return p + 1;
  for (p++; *p != ')'; p = behind(p)) if (*p == 0) fail("a ( is not closed", "");
  return p + 1;
}
static int sequence(int next) {
  if (*at == 0 || *at == '|' || *at == ')') return next;
  if (*at == '*' || *at == '+' || *at == '?') fail("nothing to repeat before ", at);
  const char *begin = at, *end = behind(begin);
  char how = *end;
  int repeats = how == '*' || how == '+' || how == '?';
  at = end + repeats;
  int rest = sequence(next);
  const char *after = at;
  at = begin;
  if (!repeats) rest = atom(rest);
  else if (how == '?') {
    int n = node(SPLIT, -1, rest);
    nodes[n].out = atom(rest);
    rest = n;
  } else {
    int n = node(SPLIT, -1, rest), first = atom(n);
    nodes[n].out = first;
    rest = how == '*' ? n : first;
  }
  at = after;
  return rest;
}
static int alternatives(int next) {
  int n = sequence(next);
  while (*at == '|') {
    at++;
    int other = sequence(next);
    n = node(SPLIT, n, other);
  }
  return n;
}

/* States: sets of nodes that match bytes. */
typedef struct {
  uint8_t in[NODES];
  int matches, matches_at_end;
} state;
static state *states[STATES];
static int state_count;

static void reach(state *s, uint8_t *seen, int n, int start, int end) {
  if (seen[n]) return;
  seen[n] = 1;
  if (nodes[n].kind == SPLIT) {
    reach(s, seen, nodes[n].out, start, end);
    reach(s, seen, nodes[n].other, start, end);
  } else if (nodes[n].kind == BYTES) s->in[n] |= !end; /* nothing comes behind the end */
  else if (nodes[n].kind == AT_START) {
    if (start) reach(s, seen, nodes[n].out, start, end);
  } else if (nodes[n].kind == AT_END) {
    if (end) reach(s, seen, nodes[n].out, start, end);
  } else *(end ? &s->matches_at_end : &s->matches) = 1;
}
/* The state after a byte, or with c < 0 that in which a line begins. */
static int step(const state *from, int first, int c) {
  static state made;
  memset(&made, 0, sizeof made);
  for (int end = 0; end < 2; end++) {
    uint8_t seen[NODES] = {0};
    for (int n = 0; from && n < node_count; n++)
      if (from->in[n] && has(n, c)) reach(&made, seen, nodes[n].out, 0, end);
    reach(&made, seen, first, c < 0, end); /* a match may begin anywhere */
  }
  for (int i = 0; i < state_count; i++) if (memcmp(states[i], &made, sizeof made) == 0) return i;
  if (state_count == STATES) fail("the expression has too many states", "");
  states[state_count] = malloc(sizeof made);
  memcpy(states[state_count], &made, sizeof made);
  return state_count++;
}

/* Code. */
static uint8_t *code;
static uint32_t length, room;
static void byte(int b) {
  if (length == room) code = realloc(code, room = room * 2 + 256);
  if (!code) fail("no memory", "");
  code[length++] = b;
}
static void leb(uint32_t v) {
  for (; v > 127; v >>= 7) byte(v | 128);
  byte(v);
}
static void bytes(int count, const uint8_t *from) {
  for (int i = 0; i < count; i++) byte(from[i]);
}
#define BYTES(...) bytes(sizeof((uint8_t[]){__VA_ARGS__}), (uint8_t[]){__VA_ARGS__})
static void constant(int32_t v) {
  byte(0x41);
  for (; v < -64 || v > 63; v >>= 7) byte((v & 127) | 128);
  byte(v & 127);
}
/* Puts a length in front of what was written since `from`. */
static void sized(uint32_t from) {
  uint32_t size = length - from, extra = 0;
  for (uint32_t v = size; v > 127; v >>= 7) extra++;
  for (uint32_t i = 0; i <= extra; i++) byte(0);
  memmove(code + from + extra + 1, code + from, size);
  length = from;
  leb(size);
  length += size;
}
enum { TEXT = 0, END = 1, C = 2, STATE = 3, LINE = 4 };

/* state := to, and on with the next byte; `depth` blocks are open inside the loop. */
static void go(int to, int depth) {
  constant(to);
  BYTES(0x21, STATE, 0x0c);
  leb(depth);
}
/* What a state does with the byte in C. Labels: `depth` leads to the loop, `depth` + 1 to where a line has matched. */
static void emit_state(int s, int first, int depth) {
  BYTES(0x20, C, 0x41, 10, 0x46, 0x04, 0x40); /* if C = '\n' */
  if (states[s]->matches_at_end) { byte(0x0c); leb(depth + 2); }
  else {
    BYTES(0x20, TEXT, 0x20, END, 0x4b, 0x04, 0x40, 0x41, 0, 0x0f, 0x0b); /* if TEXT > END: return 0 */
    BYTES(0x20, TEXT, 0x21, LINE);
    go(0, depth + 1);
  }
  byte(0x0b);
  for (int c = 0; c < 256;) {
    int to = step(states[s], first, c), last = c;
    while (last < 255 && step(states[s], first, last + 1) == to) last++;
    if (last < 255) {
      BYTES(0x20, C);
      constant(last);
      BYTES(0x4d, 0x04, 0x40); /* if C <= last */
    }
    int inside = depth + (last < 255);
    if (states[to]->matches) { byte(0x0c); leb(inside + 1); }
    else go(to, inside);
    if (last < 255) byte(0x0b);
    c = last + 1;
  }
}
static void emit_function(int first) {
  BYTES(1, 3, 0x7f); /* C, STATE, LINE */
  BYTES(0x20, TEXT, 0x21, LINE);
  BYTES(0x02, 0x40, 0x03, 0x40); /* block: matched; loop: next byte */
  BYTES(0x20, TEXT, 0x20, END, 0x49, 0x04, 0x7f, 0x20, TEXT, 0x2d, 0, 0, 0x05, 0x41, 10, 0x0b, 0x21, C);
  BYTES(0x20, TEXT, 0x41, 1, 0x6a, 0x21, TEXT);
  /* States come to be while their code is written, so it is written apart, and the blocks around it are known after. */
  uint32_t begin = length, *ends = calloc(STATES + 1, sizeof *ends);
  int total = 0;
  for (int round = 0; round < 2; round++) {
    length = begin;
    if (round == 1) {
      for (int i = 0; i < total; i++) BYTES(0x02, 0x40);
      BYTES(0x20, STATE, 0x0e);
      leb(total - 1);
      for (int i = 0; i < total; i++) leb(i);
    }
    for (int s = 0; s < state_count; s++) {
      if (round == 1) byte(0x0b);
      /* Blocks that are still open: those of the states behind this one. */
      emit_state(s, first, round == 0 ? 0 : total - 1 - s);
    }
    total = state_count;
  }
  free(ends);
  BYTES(0x00, 0x0b, 0x00, 0x0b, 0x20, LINE, 0x0b); /* unreachable, end of loop and block, LINE */
}
static void emit_module(int first) {
  length = 0;
  BYTES(0, 'a', 's', 'm', 1, 0, 0, 0);
  BYTES(1, 7, 1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f);
  BYTES(2, 15, 1, 3, 'e', 'n', 'v', 6, 'm', 'e', 'm', 'o', 'r', 'y', 2, 0, 1);
  BYTES(3, 2, 1, 0);
  BYTES(7, 8, 1, 4, 'f', 'i', 'n', 'd', 0, 0);
  byte(10);
  uint32_t section = length;
  byte(1);
  uint32_t body = length;
  emit_function(first);
  sized(body);
  sized(section);
}

/* Gives the place of the function in the table. */
static int compile(const char *expression) {
  node_count = 0;
  for (int i = 0; i < state_count; i++) free(states[i]);
  state_count = 0;
  at = expression;
  int first = alternatives(node(MATCH, -1, -1));
  if (*at) fail("a ) too many: ", at);
  if (step(NULL, first, -1), states[0]->matches) fail("it matches every line: ", expression);
  emit_module(first);
  char error[200];
  int made = make(code, length, error, sizeof error);
  if (made < 0) fail("the module was refused: ", error);
  return made;
}

static char *read_all(const char *name, size_t *size) {
  FILE *in = strcmp(name, "-") == 0 ? stdin : fopen(name, "rb");
  if (!in) fail("cannot open ", name);
  size_t space = 1 << 16;
  char *text = malloc(space);
  for (*size = 0; text;) {
    size_t n = fread(text + *size, 1, space - *size, in);
    if (n == 0) return text;
    if ((*size += n) == space) text = realloc(text, space *= 2);
  }
  fail("no memory", "");
}

int main(int argc, char **argv) {
  long rounds = 0;
  int last = argc;
  if (argc > 3 && strcmp(argv[argc - 2], "-n") == 0) rounds = atol(argv[argc - 1]), last -= 2;
  if (last < 3) fail("FILE EXPRESSION... [-n ROUNDS]", "");
  size_t size;
  char *text = read_all(argv[1], &size), *end = text + size;
  if (size > 0 && end[-1] == '\n') end--; /* the end of the text is the end of its last line */
  for (int i = 2; i < last; i++) {
    int made = compile(argv[i]);
    finder find = (finder)(intptr_t)made;
    unsigned long count = 0;
    for (long round = 0; round < (rounds ? rounds : 1); round++)
      for (const char *line = size ? find(text, end) : NULL; line;) {
        const char *stop = memchr(line, '\n', end - line);
        if (!stop) stop = end;
        count++;
        if (!rounds) printf("%.*s\n", (int)(stop - line), line);
        line = stop < end ? find(stop + 1, end) : NULL;
      }
    printf("%s: %lu\n", argv[i], count);
    if (release(made) != 0) fail("it cannot be released: ", argv[i]);
  }
  return 0;
}
