/** The pool's own settings in a configuration: the `pool` key, and what is wrong with one. Pure. */
import { Predicate, Result, Schema, SchemaIssue } from "effect"
import { JsonText } from "./JsonText.ts"
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
  lifetime: Schema.optional(Schema.Union([None, Count]))
})

const Probe = Schema.Struct({
  interval: Schema.optional(PositiveTime),
  timeout: Schema.optional(PositiveTime),
  misses: Schema.optional(Count)
})

const Replicas = Schema.Struct({ min: Count, max: Count }).check(
  Schema.makeFilter(({ max, min }) => min <= max || "has a min above its max")
)

/** Whether an environment can hold a variable of this name. */
export const isVariableName = (name: string): boolean => /^[^=\0]+$/.test(name)

/** What is said of another name, which is not shown. */
export const noVariableName = "has a name that no variable can have"

const ExtraEnv = Schema.Record(Schema.String, Schema.String).check(
  Schema.makeFilter((variables) => Object.keys(variables).every(isVariableName) || noVariableName)
)

const SessionFile = Schema.Struct({
  variable: Schema.optional(
    Schema.String.check(Schema.makeFilter((name) => isVariableName(name) || "is a name that no variable can have"))
  ),
  content: JsonText
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
  /** When a server's first process is started: `"eager"`, with the pool; `"lazy"`, with the first call. */
  start: Schema.optional(Schema.Literals(["eager", "lazy"])),
  /** How long a process that nobody uses lives; the next call starts another: `"none"`. */
  idleStop: Schema.optional(Schema.Union([None, PositiveTime])),
  /** How long a process has after its stdin closed (2 s), and after SIGTERM (5 s). */
  stop: Schema.optional(Stop),
  /** When a process that ended is started again: `"on-failure"`. */
  restart: Schema.optional(Schema.Literals(["on-failure", "always", "never"])),
  /**
   * How often it may be started again, and how long between: at most 5 in 60 s, from 500 ms to 30 s, counted from zero
   * after 5 min up; any number of times in all (`lifetime`: `"none"`).
   */
  budget: Schema.optional(Budget),
  /** Tools that a process has to list before it counts as running: none. A server's list replaces the file's. */
  requiredTools: Schema.optional(Schema.Array(Schema.NonEmptyString)),
  /**
   * Whether an idle process is asked for a sign of life: `false`, as is `"off"`. `true`, `"on"` or an object: each 30 s,
   * with 5 s to answer, and 3 unanswered in a row are its end.
   */
  probe: Schema.optional(Schema.Union([Schema.Boolean, Schema.Literals(["on", "off"]), Probe])),
  /** How much memory a process and its children may take: `"none"`. */
  maxMemory: Schema.optional(Schema.Union([None, PositiveSize])),
  /** How long a process may live: `"none"`. */
  maxAge: Schema.optional(Schema.Union([None, PositiveTime])),
  /**
   * Variables that each process gets over its environment, with references as in `env`: none. They are no part of what
   * makes it the same process as another.
   */
  extraEnv: Schema.optional(ExtraEnv),
  /**
   * A JSON document that is written for each process, its path in a variable (`"MCP_POOL_SESSION_FILE"`): none. References
   * in the texts of `content` are replaced as in `env`. A server's replaces the file's as a whole.
   */
  sessionFile: Schema.optional(SessionFile),
  /**
   * Whether the definitions of tools are compared with those in `mcp-pool.lock.json` beside the configuration file, where
   * those seen first are kept: `"off"`. `"warn"` tells of what differs, and `"block"` does not offer it either.
   */
  pin: Schema.optional(Schema.Literals(["off", "warn", "block"])),
  /** The file in which each call leaves a line, with references as in `env`: none. Only at the top. */
  audit: Schema.optional(Schema.NonEmptyString),
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
  /**
   * Who shares a process: all sessions (`"shared"`), those of one project's directory (`"per-project"`), none
   * (`"per-session"`), or a few, each new session where the fewest are (`{ replicas: n }`, `{ replicas: { min, max } }`).
   */
  sharing: Schema.optional(
    Schema.Union([
      Schema.Literals(["shared", "per-project", "per-session"]),
      Schema.Struct({ replicas: Schema.Union([Count, Replicas]) })
    ])
  ),
  /**
   * What a server may ask its clients (sampling, elicitation): `"auto"`, and what asks runs alone; `"lane"`, as if every
   * tool asked; `"deny"`, nothing.
   */
  questions: Schema.optional(Schema.Literals(["auto", "lane", "deny"])),
  /** What a server that asks for `roots/list` is told: URIs, or paths from the server's `cwd`. Not declared. */
  roots: Schema.optional(
    Schema.Array(
      Schema.Union([Schema.String, Schema.Struct({ uri: Schema.String, name: Schema.optional(Schema.String) })])
    )
  ),
  /** Requests of one session that the server has at a time; more wait: 64. */
  maxInFlight: Schema.optional(Count),
  /** Requests of all sessions that the server has at a time: `"none"`. */
  maxConcurrency: Schema.optional(Schema.Union([None, Count])),
  /** How long a session gets the list that another got: 300 s, or the server's own `ttlMs` where that is shorter. */
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
    ? [
        ...unknownKeys(pool["stop"], Stop.fields, "stop."),
        ...unknownKeys(pool["budget"], Budget.fields, "budget."),
        ...unknownKeys(pool["probe"], Probe.fields, "probe."),
        ...unknownKeys(pool["sessionFile"], SessionFile.fields, "sessionFile.")
      ]
    : [])
]

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
