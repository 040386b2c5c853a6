/** A row of the table, and what turns many measurements into its one value. */

/** It passes if `value` is at most `bound`. */
export interface Row {
  readonly figure: string
  readonly value: number
  readonly unit: string
  readonly bound: number
  readonly detail: string
}

/** Medians of what floor and pool measured, and of the ratio of each pair. */
export interface Comparison {
  readonly floor: number
  readonly pool: number
  readonly ratio: number
}

/** Measures floor and pool in turn, once to warm up and then so many times; who is first changes with each pair. */
export const compare = async (
  rounds: number,
  floor: () => Promise<number>,
  pool: () => Promise<number>
): Promise<Comparison> => {
  const floors: Array<number> = []
  const pools: Array<number> = []
  for (let round = 0; round <= rounds; round++) {
    if (round % 2 === 0) floors.push(await floor())
    pools.push(await pool())
    if (round % 2 === 1) floors.push(await floor())
  }
  const ratios = pools.map((value, round) => value / floors[round]!)
  return { floor: median(floors.slice(1)), pool: median(pools.slice(1)), ratio: median(ratios.slice(1)) }
}

export const row = (figure: string, value: number, unit: string, bound: number, detail: string): Row => ({
  figure,
  value,
  unit,
  bound,
  detail
})

/** The row of a figure that is bounded against the floor's. */
export const ratio = (figure: string, { floor, pool, ratio }: Comparison, bound: number, unit: string): Row =>
  row(figure, ratio, "x floor", bound, `pool ${show(pool)} ${unit}, floor ${show(floor)} ${unit}`)

export const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

/** Three digits that matter. */
export const show = (value: number): string =>
  Number.isInteger(value) || Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3)

export const list = (values: ReadonlyArray<number>): string => values.map(show).join(", ")
