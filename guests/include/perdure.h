/*
 * What a program in C needs of Perdure: the kernel's calls, as functions that are all in headers. Nothing is to be linked; what is
 * not used is not imported, so a program asks for no more than it calls.
 *
 *     clang --target=wasm32-wasi --sysroot=/usr -I node_modules/perdure/guests/include program.c -o program.wasm
 *
 * Results are 0 or more, or the negative of an error (`perdure_error`). Times are nanoseconds. Each function is told with an example,
 * which is compiled and run by the tests of Perdure; `main` stands around it, and `assert` ends the program where its condition
 * does not hold.
 */
#ifndef PERDURE_H
#define PERDURE_H

#include "perdure/account.h"
#include "perdure/capability.h"
#include "perdure/channel.h"
#include "perdure/domain.h"
#include "perdure/error.h"
#include "perdure/gate.h"
#include "perdure/kind.h"
#include "perdure/ring.h"
#include "perdure/segment.h"
#include "perdure/semaphore.h"
#include "perdure/waitset.h"

#endif
