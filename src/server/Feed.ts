/** News from synchronous code to any number of Streams: a watcher that falls behind loses the oldest, nobody waits. */
import { Effect, Queue, Stream } from "effect"

export interface Feed<A> {
  readonly publish: (news: A) => void
  /** What has been published before, as `past` says when the watching begins, and what is published from then on. */
  readonly after: (past: () => Iterable<A>) => Stream.Stream<A>
  /** What is published while it is watched. */
  readonly stream: Stream.Stream<A>
}

export const make = <A>(capacity: number): Feed<A> => {
  const watchers = new Set<Queue.Enqueue<A>>()
  const after = (past: () => Iterable<A>) =>
    Stream.callback<A>(
      (queue) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            for (const news of past()) Queue.offerUnsafe(queue, news)
            watchers.add(queue)
          }),
          () => Effect.sync(() => watchers.delete(queue))
        ),
      { bufferSize: capacity, strategy: "sliding" }
    )
  return {
    publish: (news) => {
      for (const watcher of watchers) Queue.offerUnsafe(watcher, news)
    },
    after,
    stream: after(() => [])
  }
}
