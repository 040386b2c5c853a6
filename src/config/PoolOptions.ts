/** The pool's own settings in a configuration: the `pool` key, what is wrong with one, and what has no effect. Pure. */
import { Duration, Predicate, Result, Schema, SchemaIssue } from "effect"
import { PositiveTime, Size, Time } from "./Quantity.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1, { expected: "a whole number above zero" }))

const PositiveSize = Size.check(
  Schema.isGreaterThanOrEqualTo(1, { expected: 'a size above zero such as "10 MiB" or a number of bytes' })
)

const None = Schema.Literal("none")

const Stop = Schema.Struct({ stdin: Schema.optional(Time), term: Schema.optional(Time) })

const Budget = Schema.Struct({
  max: Schema.optional(Count),
  window: Schema.optional(PositiveTime),
  base: Schema.optional(Time),
  cap: Schema.optional(Time),
  resetAfter: Schema.optional(Time),
  /** Not supported yet. */
  lifetime: Schema.optional(Schema.Union([None, Count]))
})

/**
 * The `pool` key, at the top of a file (defaults for its servers) or in a server. Times are strings such as `"30 s"`,
 * `"500 ms"`, `"5 min"` or numbers of milliseconds; sizes are strings such as `"10 MiB"` or numbers of bytes.
 */
export const PoolOptions = Schema.Struct({
  /** How long a process may take to answer `initialize`: 30 s; 180 s where the command is npx, uvx, pnpm, bunx, docker. */
  startTimeout: Schema.optional(PositiveTime),
  /** The deadline of a request: none. */
  requestTimeout: Schema.optional(Schema.Union([None, PositiveTime])),
  /** How long a request waits for a start, a restart or a place: 30 s. */
  queueTimeout: Schema.optional(Time),
  /** How long a process has after its stdin closed (2 s), and after SIGTERM (5 s). */
  stop: Schema.optional(Stop),
  /** When a process that ended is started again: `"on-failure"`. */
  restart: Schema.optional(Schema.Literals(["on-failure", "always", "never"])),
  /** How often it may be started again, and how long between: at most 5 in 60 s, from 500 ms to 30 s. */
  budget: Schema.optional(Budget),
  /** Which sessions get a server's log messages: `"owner"`. */
  logMessages: Schema.optional(Schema.Literals(["owner", "all", "none"])),
  /** The longest line of a server or a client: 10 MiB. */
  maxLine: Schema.optional(PositiveSize),
  /** How much may wait for a client that does not read: 32 MiB, or one message. */
  maxUnread: Schema.optional(PositiveSize),
  /** Variables of the pool's own environment that the process gets too, by name. */
  passEnv: Schema.optional(Schema.Array(Schema.String)),
  /** The path of the server's socket, in place of the one in the runtime directory. Only in a server. */
  socket: Schema.optional(Schema.NonEmptyString),
  /** The permission bits of the socket as an octal string: `"0600"`. */
  socketMode: Schema.optional(
    Schema.String.check(Schema.isPattern(/^0?[0-7]{3}$/, { expected: 'an octal string such as "0660"' }))
  ),
  /** The group that owns the socket. */
  socketGroup: Schema.optional(Schema.NonEmptyString),
  /** Not supported yet. */
  requiredTools: Schema.optional(Schema.Array(Schema.String)),
  /** Not supported yet. */
  probe: Schema.optional(
    Schema.Union([
      Schema.Boolean,
      Schema.Literals(["on", "off"]),
      Schema.Struct({
        interval: Schema.optional(PositiveTime),
        timeout: Schema.optional(PositiveTime),
        misses: Schema.optional(Count)
      })
    ])
  ),
  /** Not supported yet, but for `"shared"`. */
  sharing: Schema.optional(
    Schema.Union([
      Schema.Literals(["shared", "per-session"]),
      Schema.Struct({ replicas: Schema.Union([Count, Schema.Struct({ min: Count, max: Count })]) })
    ])
  ),
  /** Not supported yet, but for `"auto"`. */
  questions: Schema.optional(Schema.Literals(["auto", "lane", "deny"])),
  /** Not supported yet. */
  roots: Schema.optional(
    Schema.Array(
      Schema.Union([Schema.String, Schema.Struct({ uri: Schema.String, name: Schema.optional(Schema.String) })])
    )
  ),
  /** Not supported yet. */
  maxInFlight: Schema.optional(Count),
  /** Not supported yet. */
  maxConcurrency: Schema.optional(Schema.Union([None, Count])),
  /** Not supported yet. */
  maxMemory: Schema.optional(Schema.Union([None, PositiveSize])),
  /** Not supported yet. */
  maxAge: Schema.optional(Schema.Union([None, PositiveTime])),
  /** Not supported yet. */
  toolCacheTtl: Schema.optional(Time)
})
/** How an application writes `pool`: see the schema of the same name. */
export interface PoolOptions extends Schema.Codec.Encoded<typeof PoolOptions> {}
/** {@link PoolOptions}, decoded. */
export interface DecodedPoolOptions extends Schema.Schema.Type<typeof PoolOptions> {}

/** What is wrong with a value, and where in it. Never shows the value. */
export interface Mistake {
  readonly path: ReadonlyArray<string | number>
  readonly reason: string
}

/** A decoder that tells the first mistake. */
export const decoder = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S
): ((input: unknown) => Result.Result<S["Type"], Mistake>) => {
  // Issues hold no input: `reportInput` is off.
  const decode = Schema.decodeUnknownResult(schema)
  return (input) => Result.mapError(decode(input), (error) => toMistake(error.issue))
}

/** Decodes a `pool` key; unknown keys are left out. */
export const decodePool: (input: unknown) => Result.Result<DecodedPoolOptions, Mistake> = decoder(PoolOptions)

/** The keys of a `pool` that mean nothing here, as paths such as `budget.maximum`. */
export const unknownPoolKeys = (pool: unknown): ReadonlyArray<string> => [
  ...unknownKeys(pool, PoolOptions.fields, ""),
  ...(Predicate.isObject(pool)
    ? [...unknownKeys(pool["stop"], Stop.fields, "stop."), ...unknownKeys(pool["budget"], Budget.fields, "budget.")]
    : [])
]

/** The keys of a `pool` that are known, say something else than the default, and have no effect yet. */
export const unsupportedPoolKeys = (pool: DecodedPoolOptions): ReadonlyArray<string> => {
  const asked: Readonly<Record<string, boolean>> = {
    requiredTools: pool.requiredTools !== undefined && pool.requiredTools.length > 0,
    probe: pool.probe !== undefined && pool.probe !== false && pool.probe !== "off",
    sharing: pool.sharing !== undefined && pool.sharing !== "shared",
    questions: pool.questions !== undefined && pool.questions !== "auto",
    roots: pool.roots !== undefined,
    maxInFlight: pool.maxInFlight !== undefined && pool.maxInFlight !== 64,
    maxConcurrency: pool.maxConcurrency !== undefined && pool.maxConcurrency !== "none",
    maxMemory: pool.maxMemory !== undefined && pool.maxMemory !== "none",
    maxAge: pool.maxAge !== undefined && pool.maxAge !== "none",
    toolCacheTtl: pool.toolCacheTtl !== undefined && !Duration.equals(pool.toolCacheTtl, Duration.seconds(300)),
    "budget.lifetime": pool.budget?.lifetime !== undefined && pool.budget.lifetime !== "none"
  }
  return Object.keys(asked).filter((key) => asked[key])
}

const unknownKeys = (value: unknown, known: object, prefix: string): ReadonlyArray<string> =>
  Predicate.isObject(value)
    ? Object.keys(value)
        .filter((key) => !Object.hasOwn(known, key))
        .map((key) => prefix + key)
    : []

const format = SchemaIssue.makeFormatterStandardSchemaV1()

const toMistake = (issue: SchemaIssue.Issue): Mistake => {
  const first = format(issue).issues[0]
  const message = (first?.message ?? "Expected another value").replace(/ \| undefined$/, "")
  return {
    path: (first?.path ?? []).map((part) => {
      const key = Predicate.isObject(part) ? part.key : part
      return typeof key === "number" ? key : String(key)
    }),
    reason: message.charAt(0).toLowerCase() + message.slice(1)
  }
}
