// The program of `npm start`: counts the ways to place N queens on a board of N × N so that none attacks another, by
// recursion over rows, and reports from deep inside the search. `queens [N]` (15). A placement of the first two
// rows is one line, so what it prints depends on nothing but N.
import { argument, endLine, number, text } from "./wasi";

let size: i32 = 15;
let found: u64 = 0;
let tried: u64 = 0;
let lines: i32 = 0;
const columns = new StaticArray<i32>(32);

function attacked(row: i32, column: i32): bool {
  for (let above = 0; above < row; above++) {
    const other = columns[above];
    const distance = row - above;
    if (other == column || other == column - distance || other == column + distance) return true;
  }
  return false;
}

function place(row: i32): void {
  if (row == size) {
    found++;
    return;
  }
  for (let column = 0; column < size; column++) {
    tried++;
    if (attacked(row, column)) continue;
    columns[row] = column;
    place(row + 1);
    if (row == 1) report();
  }
}

function report(): void {
  lines++;
  number(lines, 4);
  text(": queens at ");
  number(columns[0] + 1, 2);
  text(" and ");
  number(columns[1] + 1, 2);
  text(", tried ");
  number(tried, 12);
  text(", found ");
  number(found, 9);
  endLine();
}

export function _start(): void {
  size = argument(1, 15);
  if (size < 1 || size > 20) size = 15;
  text("counting the placements of ");
  number(size);
  text(" queens");
  endLine();
  place(0);
  text("done: ");
  number(found);
  text(" placements, ");
  number(tried);
  text(" squares tried");
  endLine();
}
