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

/** Between `minimum` and `maximum` results of `make`, each of which shrinks to its simplest, and none of which is lost. */
export const many = <A>(
  options: { readonly minimum: number; readonly maximum: number },
  make: (choices: Choices) => A
): Arbitrary.Arbitrary<Array<A>> =>
  Arbitrary.array(number, { minLength: options.minimum, maxLength: options.maximum }).pipe(
    Arbitrary.map((seeds) => seeds.map((seed) => make(new Choices(tapeOf(seed)))))
  )

/** A tape from one number; from zero, that of the simplest choices. */
const tapeOf = (seed: number): ReadonlyArray<number> => {
  if (seed === 0) return []
  const tape: Array<number> = []
  let state = seed
  for (let i = 0; i < tapeLength; i++) {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5 + i) >>> 0
    state ^= state >>> 12
    tape.push((state ^ (state << 7)) >>> 1)
  }
  return tape
}

const tapeLength = 40
