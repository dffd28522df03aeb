/** Value types by their binary codes, as far as the engines tell them apart. */
export const CODES = { i32: 0x7f, f32: 0x7d, references: [0x70, 0x6f, 0x69] as readonly number[] };
