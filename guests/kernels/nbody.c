/* Floating point in structures: five bodies under gravity. */
#define DEFAULT_ROUNDS 2000000
#include <math.h>
#include "kernel.h"

typedef struct { double x, y, z, vx, vy, vz, mass; } body;
static body bodies[5] = {
    {0, 0, 0, 0, 0, 0, 39.47},
    {4.84, -1.16, -0.10, 0.606, 2.81, -0.02, 0.0376},
    {8.34, 4.12, -0.40, -1.01, 1.82, 0.008, 0.0112},
    {12.89, -15.11, -0.22, 1.08, 0.868, -0.010, 0.0017},
    {15.37, -25.91, 0.179, 0.979, 0.594, -0.034, 0.0020},
};

static uint64_t kernel(uint32_t rounds) {
  const double step = 0.001;
  for (uint32_t r = 0; r < rounds; r++) {
    for (int i = 0; i < 5; i++) {
      body *a = &bodies[i];
      for (int j = i + 1; j < 5; j++) {
        body *b = &bodies[j];
        double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
        double square = dx * dx + dy * dy + dz * dz + 0.01;
        double force = step / (square * sqrt(square));
        a->vx -= dx * b->mass * force, a->vy -= dy * b->mass * force, a->vz -= dz * b->mass * force;
        b->vx += dx * a->mass * force, b->vy += dy * a->mass * force, b->vz += dz * a->mass * force;
      }
    }
    for (int i = 0; i < 5; i++) {
      body *a = &bodies[i];
      a->x += step * a->vx, a->y += step * a->vy, a->z += step * a->vz;
    }
  }
  return bits_of(bodies[0].x) ^ bits_of(bodies[3].vy) ^ bits_of(bodies[4].z);
}
