/**
 * Generated values as a series of small choices read off a tape of numbers: a generator is then a plain recursive function,
 * and what the engine shrinks is the tape. At its end, and where it shrinks to, every choice is 0: the simplest.
 */
import { Arbitrary, Schema } from "effect"

export class Choices {
  readonly #tape: ReadonlyArray<number>
  #at = 0

  constructor(tape: ReadonlyArray<number>) {
    this.#tape = tape
  }

  /** A number from 0 to `n - 1`. */
  below(n: number): number {
    return (this.#tape[this.#at++] ?? 0) % n
  }

  /** One of them; the first is the simplest. */
  of<A>(items: ReadonlyArray<A>): A {
    return items[this.below(items.length)]!
  }

  /** True so often in a hundred. */
  chance(percent: number): boolean {
    return this.below(100) >= 100 - percent
  }

  /** All of them in some order. */
  shuffle<A>(items: ReadonlyArray<A>): Array<A> {
    const left = [...items]
    const shuffled: Array<A> = []
    while (left.length > 0) shuffled.push(...left.splice(this.below(left.length), 1))
    return shuffled
  }

  /** Between 0 and `most` results of `make`. */
  some<A>(most: number, make: (choices: Choices) => A): Array<A> {
    return Array.from({ length: this.below(most + 1) }, () => make(this))
  }
}

const number = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0x7fffffff })))

/** What `make` makes of a tape. Tapes grow with the size of the check. */
export const from = <A>(make: (choices: Choices) => A): Arbitrary.Arbitrary<A> =>
  Arbitrary.array(number).pipe(Arbitrary.map((tape) => make(new Choices(tape))))
