// Ends badly below two calls. Tests look for the comments.
class Node {
  next: Node | null = null;
  value: i32 = 0;
}

let first: Node | null = null;

// @ts-ignore: a decorator
@inline
function inner(at: i32): i32 {
  return load<i32>(at); // line: inner
}

function outer(at: i32): i32 {
  let sum = 0;
  for (let i = 0; i < 3; i++) sum += inner(at + i); // line: outer
  const made = new Node();
  made.value = sum;
  made.next = first;
  first = made;
  return sum;
}

export function _start(): void {
  outer(-16); // line: start
}
