/** Waiting for what has come, within a bound: what does not come is something seen, not a hang. */
import { Data, Duration, Effect } from "effect"

/** What was seen in place of what must be. */
export class Broken extends Data.TaggedError("Broken")<{ readonly seen: string }> {
  override get message(): string {
    return this.seen
  }
}

/** Whoever waits looks again at each move. */
export class Waiting {
  readonly #looks = new Set<() => void>()
  readonly #patience: Duration.Input

  constructor(patience: Duration.Input) {
    this.#patience = patience
  }

  moved(): void {
    for (const look of this.#looks) look()
  }

  /** What `find` finds, now or at a move; fails where it throws or finds nothing in time. */
  until<A>(waitedFor: string, find: () => A | Broken | undefined): Effect.Effect<A, Broken> {
    const found = Effect.callback<A, Broken>((resume) => {
      const look = () => {
        const found = find()
        if (found === undefined) return
        this.#looks.delete(look)
        resume(found instanceof Broken ? Effect.fail(found) : Effect.succeed(found))
      }
      this.#looks.add(look)
      look()
      return Effect.sync(() => this.#looks.delete(look))
    })
    return Effect.timeoutOrElse(found, {
      duration: this.#patience,
      orElse: () =>
        Effect.fail(
          new Broken({
            seen: `${waitedFor}: nothing within ${Duration.format(Duration.fromInputUnsafe(this.#patience))}`
          })
        )
    })
  }
}
