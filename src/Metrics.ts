/**
 * A pool's figures as Effect Metrics, `mcp_pool_…`: `Metric.snapshot` and every exporter see them as they are at that
 * moment. They are read, not told: the message path adds to plain numbers and knows no metric.
 *
 * They stand in the `Metric.MetricRegistry` of the context in which a pool is built, with its
 * `Metric.CurrentMetricAttributes`. Where two pools there have a server of the same name and the same attributes, a
 * registry knows one series, which is their sum.
 */
import { Context, Effect, Metric, type Scope } from "effect"
import { callOutcomes } from "./CallOutcome.ts"
import { durationBounds, type Traffic } from "./mux/Traffic.ts"

/** Where one server's figures are read, under one of its names. */
export interface Figures {
  readonly traffic: Traffic
  /** Clients that are connected. */
  readonly sessions: () => number
  /** How often a process was started again: those of a shared process count under each of its names. */
  readonly restarts: () => number
}

/** Shows one server's figures until the scope closes. */
export const register = (
  server: string,
  { restarts, sessions, traffic }: Figures
): Effect.Effect<void, never, Scope.Scope> =>
  show([
    ...callOutcomes.map((outcome) => counter(calls, { server, outcome }, () => traffic.outcomes[outcome])),
    counter(bytes, { server, direction: "request" }, () => traffic.requestBytes),
    counter(bytes, { server, direction: "answer" }, () => traffic.answerBytes),
    counter(restarted, { server }, restarts),
    gauge(inFlight, { server }, () => traffic.inFlight),
    gauge(connected, { server }, sessions),
    counter(cacheHits, { server }, () => traffic.cacheHits),
    histogram(duration, { server }, () => traffic)
  ])

/** Shows until the scope closes how often an application asked for a list of a server that needed no message to it. */
export const registerCacheHits = (server: string, hits: () => number): Effect.Effect<void, never, Scope.Scope> =>
  show([counter(cacheHits, { server }, hits)])

interface Description {
  readonly id: string
  readonly description: string
}

const calls: Description = {
  id: "mcp_pool_calls_total",
  description: "Requests of clients that have ended, by how"
}
const duration: Description = {
  id: "mcp_pool_call_duration_seconds",
  description: "From a request's coming to its end, waiting included"
}
const inFlight: Description = { id: "mcp_pool_calls_in_flight", description: "Requests that are not answered yet" }
const bytes: Description = { id: "mcp_pool_bytes_total", description: "Of requests, and of servers' answers to them" }
const restarted: Description = { id: "mcp_pool_restarts_total", description: "Processes that were started again" }
const connected: Description = { id: "mcp_pool_sessions", description: "Clients that are connected" }
const cacheHits: Description = {
  id: "mcp_pool_cache_hits_total",
  description: "Lists that were asked for and needed no message to the server"
}

/** One source of a series, and how several of them are one. */
interface Series<State> {
  readonly metric: Metric.Metric<number, State>
  readonly read: () => State
  readonly sum: (states: ReadonlyArray<State>) => State
}

type Attributes = { readonly [name: string]: string }

const counter = ({ id, description }: Description, attributes: Attributes, read: () => number) =>
  series({
    metric: Metric.counter(id, { description, attributes, incremental: true }),
    read: () => ({ count: read(), incremental: true }),
    sum: (states) => ({ count: total(states, ({ count }) => count), incremental: true })
  })

const gauge = ({ id, description }: Description, attributes: Attributes, read: () => number) =>
  series({
    metric: Metric.gauge(id, { description, attributes }),
    read: () => ({ value: read() }),
    sum: (states) => ({ value: total(states, ({ value }) => value) })
  })

const boundaries = durationBounds.map((millis) => millis / 1000)

const histogram = ({ id, description }: Description, attributes: Attributes, read: () => Traffic) =>
  series({
    metric: Metric.histogram(id, { description, attributes, boundaries }),
    read: () => histogramOf(read()),
    sum: (states) => ({
      buckets: boundaries.map((bound, i): [number, number] => [bound, total(states, ({ buckets }) => buckets[i]![1])]),
      count: total(states, ({ count }) => count),
      min: Math.min(...states.map(({ min }) => min)),
      max: Math.max(...states.map(({ max }) => max)),
      sum: total(states, ({ sum }) => sum)
    })
  })

/** Without a call, `min` and `max` are as Effect's own histograms have them. */
const histogramOf = ({ durations, longest, shortest, totalDuration }: Traffic): Metric.HistogramState => {
  let count = 0
  const buckets = boundaries.map((bound, i): [number, number] => [bound, (count += durations[i]!)])
  count += durations[boundaries.length]!
  const isEmpty = count === 0
  return {
    buckets,
    count,
    min: isEmpty ? Number.MAX_VALUE : shortest / 1000,
    max: isEmpty ? -Number.MAX_VALUE : longest / 1000,
    sum: totalDuration / 1000
  }
}

const total = <A>(items: ReadonlyArray<A>, of: (item: A) => number): number =>
  items.reduce((sum, item) => sum + of(item), 0)

/** Adds a source to its series; what is returned takes it away again. */
type Show = (context: Context.Context<never>) => () => void

const show = (all: ReadonlyArray<Show>): Effect.Effect<void, never, Scope.Scope> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.acquireRelease(
      Effect.sync(() => all.map((add) => add(context))),
      (removals) => Effect.sync(() => removals.forEach((remove) => remove()))
    )
  )

const series =
  <State>({ metric, read, sum }: Series<State>): Show =>
  (context) => {
    const registry = Context.get(context, Metric.MetricRegistry)
    const known = shown.get(registry) ?? new Map<string, Shown>()
    shown.set(registry, known)
    const extra = Object.entries(Context.get(context, Metric.CurrentMetricAttributes)).sort()
    const key = JSON.stringify([metric.id, metric.attributes, extra])
    const begin = (): Shown => {
      const sources = new Set<() => State>()
      const get = () => sum([...sources].map((read) => read()))
      return { sources, series: Metric.registerUnsafe(metric, context, { get, update: () => {}, modify: () => {} }) }
    }
    const mine = known.get(key) ?? begin()
    known.set(key, mine)
    mine.sources.add(read)
    return () => {
      mine.sources.delete(read)
      if (mine.sources.size > 0) return
      known.delete(key)
      mine.series.remove()
    }
  }

/** A series and who is read for it; their states are of one kind, that of its metric. */
interface Shown {
  readonly sources: Set<() => unknown>
  readonly series: Metric.Registration
}

/** Of each registry, by the series' names and attributes. */
const shown = new WeakMap<Metric.MetricRegistry, Map<string, Shown>>()
