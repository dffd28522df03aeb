/*
 * A small Lisp: reader, printer, evaluator with closures, lists on malloc's heap. Plain C of many small functions
 * that call each other deeply and through pointers. `lisp [ROUNDS]` runs a fixed program ROUNDS times, a line each;
 * `lisp -` reads expressions from standard input and prints their values.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { NUMBER, SYMBOL, PAIR, PRIMITIVE, CLOSURE, NIL } kind;
typedef struct value value;
struct value {
  kind kind;
  union {
    long long number;
    const char *name;
    struct { value *head, *tail; } pair;
    value *(*primitive)(value *arguments);
    struct { value *parameters, *body, *scope; } closure;
  } as;
};

static value nil = {NIL, {0}};
static value *symbols[256];
static int symbol_count;
static size_t made;

static value *make(kind k) {
  value *v = calloc(1, sizeof *v);
  if (!v) {
    printf("out of memory\n");
    exit(2);
  }
  made++;
  v->kind = k;
  return v;
}
static value *number(long long n) { value *v = make(NUMBER); v->as.number = n; return v; }
static value *cons(value *h, value *t) { value *v = make(PAIR); v->as.pair.head = h; v->as.pair.tail = t; return v; }
static value *head(value *v) { return v->kind == PAIR ? v->as.pair.head : &nil; }
static value *tail(value *v) { return v->kind == PAIR ? v->as.pair.tail : &nil; }

static value *symbol(const char *name, size_t n) {
  for (int i = 0; i < symbol_count; i++)
    if (strlen(symbols[i]->as.name) == n && memcmp(symbols[i]->as.name, name, n) == 0) return symbols[i];
  if (symbol_count == 256) {
    printf("too many symbols\n");
    exit(2);
  }
  char *copy = calloc(n + 1, 1);
  memcpy(copy, name, n);
  value *v = make(SYMBOL);
  v->as.name = copy;
  return symbols[symbol_count++] = v;
}

static value *read(const char **at) {
  while (isspace((unsigned char)**at)) ++*at;
  if (**at == 0) return NULL;
  if (**at == '(') {
    ++*at;
    value *items[64];
    int n = 0;
    for (;;) {
      while (isspace((unsigned char)**at)) ++*at;
      if (**at == ')') break;
      if (**at == 0 || n == 64) return NULL;
      if (!(items[n++] = read(at))) return NULL;
    }
    ++*at;
    value *list = &nil;
    while (n > 0) list = cons(items[--n], list);
    return list;
  }
  const char *start = *at;
  while (**at && !isspace((unsigned char)**at) && **at != '(' && **at != ')') ++*at;
  if (*at == start) return NULL;
  if (isdigit((unsigned char)*start) || (*start == '-' && isdigit((unsigned char)start[1]))) return number(atoll(start));
  return symbol(start, (size_t)(*at - start));
}

static void print(value *v) {
  switch (v->kind) {
    case NUMBER: printf("%lld", v->as.number); break;
    case SYMBOL: printf("%s", v->as.name); break;
    case PRIMITIVE:
    case CLOSURE: printf("#procedure"); break;
    case NIL: printf("()"); break;
    case PAIR:
      putchar('(');
      for (value *p = v; p->kind == PAIR; p = tail(p)) {
        print(head(p));
        if (tail(p)->kind == PAIR) putchar(' ');
      }
      putchar(')');
  }
}

static value *find(value *scope, value *name) {
  for (; scope->kind == PAIR; scope = tail(scope))
    if (head(head(scope)) == name) return head(scope);
  return NULL;
}
static value *globals = &nil;
static value *s_if, *s_lambda, *s_define, *s_quote;

static value *evaluate(value *v, value *scope);
static value *evaluate_all(value *list, value *scope) {
  return list->kind == PAIR ? cons(evaluate(head(list), scope), evaluate_all(tail(list), scope)) : &nil;
}
static value *apply(value *f, value *arguments) {
  if (f->kind == PRIMITIVE) return f->as.primitive(arguments);
  if (f->kind != CLOSURE) {
    printf("not a procedure: ");
    print(f);
    printf("\n");
    exit(2);
  }
  value *scope = f->as.closure.scope;
  for (value *p = f->as.closure.parameters; p->kind == PAIR; p = tail(p), arguments = tail(arguments))
    scope = cons(cons(head(p), head(arguments)), scope);
  return evaluate(f->as.closure.body, scope);
}
static value *evaluate(value *v, value *scope) {
  if (v->kind == SYMBOL) {
    value *bound = find(scope, v);
    if (!bound) bound = find(globals, v);
    if (!bound) {
      printf("unbound: %s\n", v->as.name);
      exit(2);
    }
    return tail(bound);
  }
  if (v->kind != PAIR) return v;
  value *first = head(v);
  if (first == s_quote) return head(tail(v));
  if (first == s_if) {
    value *test = evaluate(head(tail(v)), scope);
    int truth = !(test->kind == NIL || (test->kind == NUMBER && test->as.number == 0));
    return evaluate(head(truth ? tail(tail(v)) : tail(tail(tail(v)))), scope);
  }
  if (first == s_lambda) {
    value *c = make(CLOSURE);
    c->as.closure.parameters = head(tail(v));
    c->as.closure.body = head(tail(tail(v)));
    c->as.closure.scope = scope;
    return c;
  }
  if (first == s_define) {
    value *bound = evaluate(head(tail(tail(v))), scope);
    globals = cons(cons(head(tail(v)), bound), globals);
    return head(tail(v));
  }
  return apply(evaluate(first, scope), evaluate_all(tail(v), scope));
}

#define A (head(a)->as.number)
#define B (head(tail(a))->as.number)
static value *p_add(value *a) { return number(A + B); }
static value *p_sub(value *a) { return number(A - B); }
static value *p_mul(value *a) { return number(A * B % 1000003); }
static value *p_less(value *a) { return number(A < B); }
static value *p_equal(value *a) { return number(A == B); }
static value *p_head(value *a) { return head(head(a)); }
static value *p_tail(value *a) { return tail(head(a)); }
static value *p_cons(value *a) { return cons(head(a), head(tail(a))); }
static value *p_none(value *a) { return number(head(a)->kind == NIL); }

static void primitive(const char *name, value *(*f)(value *)) {
  value *v = make(PRIMITIVE);
  v->as.primitive = f;
  globals = cons(cons(symbol(name, strlen(name)), v), globals);
}

static const char *program =
    "(define fib (lambda (n) (if (< n 2) n (+ (fib (- n 1)) (fib (- n 2))))))"
    "(define upto (lambda (a b) (if (< a b) (cons a (upto (+ a 1) b)) (quote ()))))"
    "(define map (lambda (f l) (if (none l) (quote ()) (cons (f (head l)) (map f (tail l))))))"
    "(define fold (lambda (f z l) (if (none l) z (f (head l) (fold f z (tail l))))))"
    "(define compose (lambda (f g) (lambda (x) (f (g x)))))"
    "(define tak (lambda (x y z) (if (< y x) (tak (tak (- x 1) y z) (tak (- y 1) z x) (tak (- z 1) x y)) z)))";

static value *run(const char *text, int show) {
  value *last = &nil;
  for (value *v; (v = read(&text));) {
    last = evaluate(v, &nil);
    if (show) {
      print(last);
      putchar('\n');
    }
  }
  return last;
}

int main(int argc, char **argv) {
  s_if = symbol("if", 2);
  s_lambda = symbol("lambda", 6);
  s_define = symbol("define", 6);
  s_quote = symbol("quote", 5);
  primitive("+", p_add), primitive("-", p_sub), primitive("*", p_mul), primitive("<", p_less);
  primitive("=", p_equal), primitive("head", p_head), primitive("tail", p_tail), primitive("cons", p_cons);
  primitive("none", p_none);
  run(program, 0);
  if (argc > 1 && strcmp(argv[1], "-") == 0) {
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
      run(line, 1);
      fflush(stdout);
    }
    return 0;
  }
  int rounds = argc > 1 ? atoi(argv[1]) : 10;
  for (int i = 0; i < rounds; i++) {
    char text[256];
    snprintf(text, sizeof text,
             "(cons (fib %d) (cons (fold + %d (map (compose (lambda (x) (* x x)) (lambda (x) (+ x %d))) (upto 0 200)))"
             " (cons (tak 8 %d 0) (quote ()))))",
             10 + i % 5, i, i * 7, 4 + i % 3);
    value *v = run(text, 0);
    printf("round %d: ", i);
    print(v);
    printf(" in %zu cells\n", made);
    fflush(stdout);
  }
  return 0;
}
