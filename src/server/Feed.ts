/** News from synchronous code to any number of Streams: a watcher that falls behind loses the oldest, nobody waits. */
import { Effect, Queue, Stream } from "effect"

export interface Feed<A> {
  readonly publish: (news: A) => void
  /** What is published while it is watched. */
  readonly stream: Stream.Stream<A>
}

export const make = <A>(capacity: number): Feed<A> => {
  const watchers = new Set<Queue.Enqueue<A>>()
  return {
    publish: (news) => {
      for (const watcher of watchers) Queue.offerUnsafe(watcher, news)
    },
    stream: Stream.callback<A>(
      (queue) =>
        Effect.acquireRelease(
          Effect.sync(() => watchers.add(queue)),
          () => Effect.sync(() => watchers.delete(queue))
        ),
      { bufferSize: capacity, strategy: "sliding" }
    )
  }
}
