// Small objects that live briefly, as AssemblyScript compiles them: classes with virtual methods, arrays of objects, a map,
// strings, and its garbage collector over all of it.
import { argument, endLine, number } from "../as/wasi";

abstract class Shape {
  abstract area(): f64;
  abstract grown(by: f64): Shape;
}
class Square extends Shape {
  constructor(public side: f64) {
    super();
  }
  area(): f64 {
    return this.side * this.side;
  }
  grown(by: f64): Shape {
    return new Square(this.side + by);
  }
}
class Circle extends Shape {
  constructor(public radius: f64) {
    super();
  }
  area(): f64 {
    return 3.0 * this.radius * this.radius;
  }
  grown(by: f64): Shape {
    return this.radius > 20 ? new Square(by) : new Circle(this.radius + by / 2);
  }
}

export function _start(): void {
  const rounds = argument(1, 1200);
  let shapes = new Array<Shape>();
  for (let i = 0; i < 400; i++) shapes.push(i % 3 == 0 ? new Circle(i % 17) : new Square(i % 13));
  const counts = new Map<string, i32>();
  let sum: f64 = 0;
  for (let round = 0; round < rounds; round++) {
    shapes = shapes.map<Shape>((shape) => shape.grown(0.25));
    for (let i = 0; i < shapes.length; i++) {
      const area = shapes[i].area();
      sum += area;
      const key = "area " + (<i32>area).toString();
      counts.set(key, counts.has(key) ? counts.get(key) + 1 : 1);
    }
  }
  let most = 0;
  const values = counts.values();
  for (let i = 0; i < values.length; i++) most = max(most, values[i]);
  number(<u64>reinterpret<i64>(sum) ^ (<u64>most << 32) ^ <u64>counts.size);
  endLine();
}
