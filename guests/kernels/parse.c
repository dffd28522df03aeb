/* Parsing: a recursive JSON reader over a text it first writes; byte loads, switches, branches. */
#define DEFAULT_ROUNDS 240
#include "kernel.h"

static char *text, *at;
static uint32_t depth_seen;
static uint32_t state = 4711;

static char *put(char *out, int depth) {
  switch (depth > 6 ? next_random(&state) % 4 : next_random(&state) % 6) {
    case 0: return out + sprintf(out, "%d", (int)(next_random(&state) % 100000) - 50000);
    case 1: return out + sprintf(out, "%d.%de%d", (int)(next_random(&state) % 100), (int)(next_random(&state) % 1000), (int)(next_random(&state) % 5));
    case 2: return out + sprintf(out, "\"text \\\"%u\\\" \\n end\"", next_random(&state) % 1000);
    case 3: return out + sprintf(out, "%s", state & 1 ? "true" : state & 2 ? "false" : "null");
    case 4:
      *out++ = '[';
      for (uint32_t i = next_random(&state) % 6; i > 0; i--) {
        out = put(out, depth + 1);
        if (i > 1) *out++ = ',', *out++ = ' ';
      }
      *out++ = ']';
      return out;
    default:
      *out++ = '{';
      for (uint32_t i = next_random(&state) % 6; i > 0; i--) {
        out += sprintf(out, "\"key%u\": ", next_random(&state) % 50);
        out = put(out, depth + 1);
        if (i > 1) *out++ = ',', *out++ = '\n';
      }
      *out++ = '}';
      return out;
  }
}

static void skip(void) {
  while (*at == ' ' || *at == '\n') at++;
}

static uint64_t string(void) {
  uint64_t hash = 5381;
  for (at++; *at != '"'; at++) {
    if (*at == '\\') at++;
    hash = hash * 33 + (uint8_t)*at;
  }
  at++;
  return hash;
}

static uint64_t value(uint32_t depth) {
  uint64_t hash = 1;
  if (depth > depth_seen) depth_seen = depth;
  skip();
  switch (*at) {
    case '{':
      for (at++, skip(); *at != '}'; skip()) {
        hash = hash * 31 + string();
        skip();
        at++; /* the colon */
        hash = hash * 31 + value(depth + 1);
        skip();
        if (*at == ',') at++;
      }
      at++;
      return hash;
    case '[':
      for (at++, skip(); *at != ']'; skip()) {
        hash = hash * 37 + value(depth + 1);
        skip();
        if (*at == ',') at++;
      }
      at++;
      return hash;
    case '"': return string();
    case 't': at += 4; return 2;
    case 'f': at += 5; return 3;
    case 'n': at += 4; return 4;
    default: {
      double sign = 1, number = 0, scale = 1;
      if (*at == '-') sign = -1, at++;
      while (*at >= '0' && *at <= '9') number = number * 10 + (*at++ - '0');
      if (*at == '.')
        for (at++; *at >= '0' && *at <= '9';) number += (*at++ - '0') * (scale /= 10);
      if (*at == 'e')
        for (int e = *++at - '0'; e > 0; e--) number *= 10;
      while ((*at >= '0' && *at <= '9') || *at == 'e') at++;
      return bits_of(sign * number);
    }
  }
}

static uint64_t kernel(uint32_t rounds) {
  text = malloc(1 << 20);
  char *out = text;
  *out++ = '[';
  while (out - text < 200000) {
    out = put(out, 0);
    *out++ = ',';
  }
  out[-1] = ']';
  *out = 0;
  uint64_t sum = 0;
  for (uint32_t r = 0; r < rounds; r++) {
    at = text;
    sum = sum * 31 + value(0) + depth_seen;
  }
  return sum;
}
