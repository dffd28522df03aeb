/*
 * Gates: procedures that a program offers to others, and calls of procedures of others. A call looks and feels like a call of a function:
 * it goes over into the other domain, and comes back with its results. Pointers mean nothing there; numbers pass as they are.
 *
 * The tests run each example as two domains of the same program, of which the one that runs `main` was granted the other as `peer`.
 */
#ifndef PERDURE_GATE_H
#define PERDURE_GATE_H

#include "error.h"

/*
 * Offers a function to whoever was granted the program's domain, under this name. While somebody is inside of the domain others wait.
 * How many bytes of stack it has is the program's own matter: calls run on its stack.
 *
 *     PERDURE_GATE(add) int32_t add(int32_t a, int32_t b) { return a + b; }
 *
 *     PERDURE_CALLS(peer, add) int32_t peer_add(int32_t a, int32_t b);
 *
 *     int main(void) {
 *       assert(peer_add(2, 3) == 5);
 *       return 0;
 *     }
 */
#define PERDURE_GATE(name) __attribute__((export_name("gate:" #name)))

/*
 * The same, with more to say of it: "NAME:PARAMETERS=RESULTS", a letter for each, `v` for a value and `c` for a capability, which arrives as a
 * handle in the list of whoever gets it, a copy without the right to revoke; then "!nested" where the activation that is inside may come in
 * again, "!concurrent" where anybody may while somebody waits inside, and "!depth=N" for the most visits of one activation.
 *
 *     PERDURE_GATE_AS("look:cv=v!concurrent!depth=5") int32_t look(perdure_handle given, int32_t add) {
 *       perdure_description what;
 *       return perdure_describe(given, &what) == 0 ? (int32_t)what.kind + add : -1;
 *     }
 *
 *     PERDURE_CALLS(peer, look) int32_t peer_look(perdure_handle given, int32_t add);
 *
 *     int main(void) {
 *       assert(peer_look(perdure_waitset_create(), 100) == PERDURE_WAIT_SET + 100);
 *       return 0;
 *     }
 */
#define PERDURE_GATE_AS(declaration) __attribute__((export_name("gate:" declaration)))

/*
 * Declares a procedure of the domain that was granted to the program under a name, or the one gate that was granted as NAME.PROCEDURE.
 * The program cannot be started without that grant. Where a call fails the program traps, unless it uses perdure_gate_error.
 *
 *     PERDURE_GATE(twice) int64_t twice(int64_t n) { return 2 * n; }
 *
 *     PERDURE_CALLS(peer, twice) int64_t peer_twice(int64_t n);
 *
 *     int main(void) {
 *       assert(peer_twice(1ll << 40) == 1ll << 41);
 *       return 0;
 *     }
 */
#define PERDURE_CALLS(granted, procedure) __attribute__((import_module(#granted), import_name(#procedure)))

/*
 * How the last call through a gate ended: 0 where it returned, else an error, and its results are then zero: FAULTED where the
 * callee trapped, GONE, STOPPED, REVOKED, REENTERED, DEPTH, NOSYS where it has no such procedure. (The error itself, not its negative.)
 *
 *     PERDURE_GATE(divide) int32_t divide(int32_t a, int32_t b) {
 *       if (b == 0) __builtin_trap();
 *       return a / b;
 *     }
 *
 *     PERDURE_CALLS(peer, divide) int32_t peer_divide(int32_t a, int32_t b);
 *
 *     int main(void) {
 *       assert(peer_divide(6, 2) == 3 && perdure_gate_error() == PERDURE_OK);
 *       assert(peer_divide(6, 0) == 0 && perdure_gate_error() == PERDURE_FAULTED);
 *       assert(peer_divide(8, 2) == 0 && perdure_gate_error() == PERDURE_GONE); // a program that traps has ended
 *       return 0;
 *     }
 */
PERDURE_KERNEL("gate_error")
int32_t perdure_gate_error(void);

/*
 * Ends what the program is doing, not the program: its domain stays, with its memory, and its procedures can be called. Does not return; in
 * a call from another domain, which can only return, it gives -PERDURE_INVAL.
 *
 *     PERDURE_GATE(leave) int32_t leave(void) { return perdure_activation_end(); }
 *
 *     PERDURE_CALLS(peer, leave) int32_t peer_leave(void);
 *
 *     int main(void) {
 *       assert(peer_leave() == -PERDURE_INVAL);
 *       return 0;
 *     }
 */
PERDURE_KERNEL("activation_end")
int32_t perdure_activation_end(void);

#endif
