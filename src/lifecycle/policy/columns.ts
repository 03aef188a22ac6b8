type TypedArray = Float64Array | Uint32Array | Uint16Array | Uint8Array

/** Numbers of one kind, one (or `width`) for each image: what a million images are affordable as. */
export class Column<Values extends TypedArray> {
  values: Values
  readonly #width: number
  readonly #create: (length: number) => Values

  /** @param create makes an array of this many zeros */
  constructor(create: (length: number) => Values, width = 1) {
    this.#create = create
    this.#width = width
    this.values = create(firstRows * width)
  }

  /** Makes room for the row with this number. */
  reserve(row: number): void {
    if ((row + 1) * this.#width <= this.values.length) return
    const grown = this.#create(Math.ceil((row + 1) * growth) * this.#width)
    grown.set(this.values)
    this.values = grown
  }
}

/** Most repositories have fewer images. */
const firstRows = 1024

/** Doubling would hold up to three times what is needed while it copies. */
const growth = 1.5

export const float64 = (length: number): Float64Array => new Float64Array(length)
export const uint32 = (length: number): Uint32Array => new Uint32Array(length)
export const uint16 = (length: number): Uint16Array => new Uint16Array(length)
export const uint8 = (length: number): Uint8Array => new Uint8Array(length)

/** Notes a place in a column unless a lower one stands there. */
export function markFirst(column: Uint16Array, row: number, place: number): void {
  const before = column[row]!
  if (before === 0 || place < before) column[row] = place
}
