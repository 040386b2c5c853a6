/**
 * One configured server: how a file or an application writes it, what its process is made of, and how the pool treats
 * it. Pure.
 */
import type * as Crypto from "node:crypto"
import { Duration, Predicate, type Result, Schema } from "effect"
import { type DecodedPoolOptions, type Mistake, decoder, PoolOptions } from "./PoolOptions.ts"
import type { Remote } from "./Remote.ts"

/**
 * One entry of `mcpServers` or `servers`: the hosts' own fields and `pool`. References such as `${VAR}` are replaced in
 * `command`, `args`, `env`, `cwd`, `envFile`, `url` and `headers`.
 */
export const ServerOptions = Schema.Struct({
  /** A program on the `PATH`, or a path relative to the project's directory (an application's: where it runs). */
  command: Schema.optional(Schema.String),
  args: Schema.optional(Schema.Array(Schema.String)),
  /** Over what every process gets; null unsets a variable that the process would have. */
  env: Schema.optional(Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Finite, Schema.Null]))),
  /** The project's directory unless given, and relative to it. */
  cwd: Schema.optional(Schema.String),
  /** A `.env` file; `env` wins over it. */
  envFile: Schema.optional(Schema.String),
  /** By default `"stdio"` where there is a `command`, and `"http"` where there is a `url`; `"sse"` is refused. */
  type: Schema.optional(Schema.Literals(["stdio", "http", "streamable-http", "streamableHttp", "sse"])),
  /** Where a server runs that speaks streamable HTTP: `https://…`, `http://…` or `unix:///path/to.sock#/path`. */
  url: Schema.optional(Schema.String),
  /** Of each request to the `url`; a client's own headers never go there. */
  headers: Schema.optional(Schema.Record(Schema.String, Schema.String)),
  /** The server is left out, as if it were not there. */
  disabled: Schema.optional(Schema.Boolean),
  /** A host's; ignored, since its unit differs between hosts. */
  timeout: Schema.optional(Schema.Unknown),
  /** How the pool treats it. */
  pool: Schema.optional(PoolOptions)
})
/** How an application writes a server: see the schema of the same name. */
export interface ServerOptions extends Schema.Codec.Encoded<typeof ServerOptions> {}
/** {@link ServerOptions}, decoded. */
export interface DecodedServerOptions extends Schema.Schema.Type<typeof ServerOptions> {}

/** Decodes one entry; unknown keys are left out. */
export const decodeServer: (input: unknown) => Result.Result<DecodedServerOptions, Mistake> = decoder(ServerOptions)

/** How the pool treats one server: the `pool` key of the configuration, decoded, with the defaults filled in. */
export interface PoolSettings {
  readonly startTimeout: Duration.Duration
  /** Undefined: a session's requests have no deadline of the pool's (hosts cancel). */
  readonly requestTimeout: Duration.Duration | undefined
  readonly queueTimeout: Duration.Duration
  /** When its first process is started; undefined: as the pool says of all. */
  readonly start: "eager" | "lazy" | undefined
  /** How long a process lives that nobody uses; undefined for no limit. */
  readonly idleStop: Duration.Duration | undefined
  readonly stop: { readonly stdin: Duration.Duration; readonly term: Duration.Duration }
  readonly restart: "on-failure" | "always" | "never"
  readonly budget: {
    readonly max: number
    readonly window: Duration.Duration
    readonly base: Duration.Duration
    readonly cap: Duration.Duration
    readonly resetAfter: Duration.Duration
    /** Restarts in all; undefined for no limit. */
    readonly lifetime: number | undefined
  }
  /** A process that does not list them is not running. */
  readonly requiredTools: ReadonlyArray<string>
  /** Undefined: not probed. */
  readonly probe: Probe | undefined
  /** Bytes of the whole process group; undefined for no limit. */
  readonly maxMemory: number | undefined
  readonly maxAge: Duration.Duration | undefined
  /** Set in the environment of each process, over the spec's, and no part of its identity. */
  readonly extraEnv: Readonly<Record<string, string>>
  readonly sessionFile: SessionFile | undefined
  /** How long a list that a server gave is given to sessions, where the server does not say less. */
  readonly toolCacheTtl: Duration.Duration
  readonly logMessages: "owner" | "all" | "none"
  readonly sharing: SharingPolicy
  readonly questions: "auto" | "lane" | "deny"
  /** Undefined: not declared. */
  readonly roots: ReadonlyArray<Root> | undefined
  /** Requests of one session that processes hold at a time. */
  readonly maxInFlight: number
  /** Requests of all sessions that processes hold at a time; undefined for no limit. */
  readonly maxConcurrency: number | undefined
  /** Bytes. */
  readonly maxLine: number
  /** Bytes. */
  readonly maxUnread: number
  /** Undefined: whatever the server lists is offered. */
  readonly pin: PinSettings | undefined
  readonly socket: string | undefined
  /** Permission bits, e.g. 0o660. */
  readonly socketMode: number | undefined
  readonly socketGroup: string | undefined
}

/**
 * Who shares a process. `replicas`: sessions are spread over so many processes at most, and `min` are always there. All in
 * one: what asks questions may have up to `max` processes beside.
 */
export interface SharingPolicy {
  readonly policy: "shared" | "per-session" | "replicas"
  /** Places that always have a process. */
  readonly min: number
  /** Places that may have one. */
  readonly max: number
  /** Each project's directory is a server of its own (`NAME@DIR`), which its sessions share; without one as all do. */
  readonly perProject?: true
}

/** What becomes of tools that are not as they were accepted, and where that stands. */
export interface PinSettings {
  readonly mode: "warn" | "block"
  /** The absolute path of the lock file. */
  readonly file: string
  /** The server's name in there. */
  readonly server: string
}

/** A root as `roots/list` tells of it. */
export interface Root {
  readonly uri: string
  readonly name?: string
}

/** When an idle process is asked for a sign of life, and when it counts as dead. */
export interface Probe {
  readonly interval: Duration.Duration
  readonly timeout: Duration.Duration
  /** Unanswered probes in a row. */
  readonly misses: number
}

/** A document that each process finds under the path in a variable of its environment. */
export interface SessionFile {
  readonly variable: string
  /** As JSON text. */
  readonly content: string
}

/** A server that can be started. */
export interface ServerSpec {
  /** Its address: any name. */
  readonly name: string
  /** The file it was read from, or "options" for a library's own. */
  readonly source: string
  /** Where it runs, if not as a process of the pool's; `command`, `args` and `env` are empty then. */
  readonly remote: Remote | null
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly cwd: string
  /** The complete environment of its process; values never appear in logs, status or errors. */
  readonly env: Readonly<Record<string, string>>
  /** All that makes a process, as text: equal identities share one. Holds environment and headers: never to be shown. */
  readonly identity: string
  /** Its identity as it may be shown: 16 hex digits of its SHA-256. */
  readonly fingerprint: string
  readonly pool: PoolSettings
}

/** The settings of a server that sets none. */
export const defaultPool: PoolSettings = {
  startTimeout: Duration.seconds(30),
  requestTimeout: undefined,
  queueTimeout: Duration.seconds(30),
  start: undefined,
  idleStop: undefined,
  stop: { stdin: Duration.seconds(2), term: Duration.seconds(5) },
  restart: "on-failure",
  budget: {
    max: 5,
    window: Duration.seconds(60),
    base: Duration.millis(500),
    cap: Duration.seconds(30),
    resetAfter: Duration.minutes(5),
    lifetime: undefined
  },
  requiredTools: [],
  probe: undefined,
  maxMemory: undefined,
  maxAge: undefined,
  extraEnv: {},
  sessionFile: undefined,
  toolCacheTtl: Duration.seconds(300),
  logMessages: "owner",
  sharing: { policy: "shared", min: 1, max: 4 },
  questions: "auto",
  roots: undefined,
  maxInFlight: 64,
  maxConcurrency: undefined,
  maxLine: 10 * 1024 * 1024,
  maxUnread: 32 * 1024 * 1024,
  pin: undefined,
  socket: undefined,
  socketMode: undefined,
  socketGroup: undefined
}

/**
 * The settings of one server: its own over the file's over the defaults, key by key, also within `stop`, `budget`,
 * `probe` and `extraEnv`. The references in them are not replaced yet, and nobody has said where `pin` has its file.
 */
export const poolSettings = (
  /** Null where the server has a `url`. */
  command: string | null,
  shared: DecodedPoolOptions = {},
  own: DecodedPoolOptions = {}
): PoolSettings => {
  const socketMode = own.socketMode ?? shared.socketMode
  const sessionFile = own.sessionFile ?? shared.sessionFile
  const sharing = sharingPolicy(own.sharing ?? shared.sharing)
  return {
    startTimeout: own.startTimeout ?? shared.startTimeout ?? defaultStartTimeout(command ?? ""),
    requestTimeout: limit(own.requestTimeout ?? shared.requestTimeout),
    queueTimeout: own.queueTimeout ?? shared.queueTimeout ?? defaultPool.queueTimeout,
    start: own.start ?? (sharing.perProject === true ? "lazy" : shared.start),
    idleStop: limit(own.idleStop ?? shared.idleStop ?? (sharing.perProject === true ? projectIdleStop : undefined)),
    stop: {
      stdin: own.stop?.stdin ?? shared.stop?.stdin ?? defaultPool.stop.stdin,
      term: own.stop?.term ?? shared.stop?.term ?? defaultPool.stop.term
    },
    restart: own.restart ?? shared.restart ?? defaultPool.restart,
    budget: {
      max: own.budget?.max ?? shared.budget?.max ?? defaultPool.budget.max,
      window: own.budget?.window ?? shared.budget?.window ?? defaultPool.budget.window,
      base: own.budget?.base ?? shared.budget?.base ?? defaultPool.budget.base,
      cap: own.budget?.cap ?? shared.budget?.cap ?? defaultPool.budget.cap,
      resetAfter: own.budget?.resetAfter ?? shared.budget?.resetAfter ?? defaultPool.budget.resetAfter,
      lifetime: limit(own.budget?.lifetime ?? shared.budget?.lifetime)
    },
    requiredTools: own.requiredTools ?? shared.requiredTools ?? defaultPool.requiredTools,
    probe: probeSettings(shared.probe, own.probe, command === null ? {} : "off"),
    maxMemory: limit(own.maxMemory ?? shared.maxMemory),
    maxAge: limit(own.maxAge ?? shared.maxAge),
    extraEnv: { ...shared.extraEnv, ...own.extraEnv },
    sessionFile:
      sessionFile === undefined
        ? undefined
        : { variable: sessionFile.variable ?? defaultSessionVariable, content: sessionFile.content },
    toolCacheTtl: own.toolCacheTtl ?? shared.toolCacheTtl ?? defaultPool.toolCacheTtl,
    logMessages: own.logMessages ?? shared.logMessages ?? defaultPool.logMessages,
    sharing,
    questions: own.questions ?? shared.questions ?? defaultPool.questions,
    roots: (own.roots ?? shared.roots)?.map(rootOf),
    maxInFlight: own.maxInFlight ?? shared.maxInFlight ?? defaultPool.maxInFlight,
    maxConcurrency: limit(own.maxConcurrency ?? shared.maxConcurrency),
    maxLine: own.maxLine ?? shared.maxLine ?? defaultPool.maxLine,
    maxUnread: own.maxUnread ?? shared.maxUnread ?? defaultPool.maxUnread,
    pin: undefined,
    socket: own.socket,
    socketMode: socketMode === undefined ? undefined : Number.parseInt(socketMode, 8),
    socketGroup: own.socketGroup ?? shared.socketGroup
  }
}

/** What a process is made of. */
export interface ProcessParts {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

/** What makes two specs the same process. */
export const identity = ({ args, command, cwd, env }: ProcessParts): string =>
  JSON.stringify([command, args, cwd, Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1))])

/** The same of what runs elsewhere. */
export const remoteIdentity = ({ headers, socketPath, url }: Remote): string =>
  JSON.stringify(["url", url, socketPath, Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1))])

/** An identity as 16 hex digits of its SHA-256. */
export const fingerprint = (identity: string): string => {
  // Loaded by who asks: it costs more than to start a server.
  const crypto: typeof Crypto = process.getBuiltinModule("node:crypto")
  return crypto.createHash("sha256").update(identity).digest("hex").slice(0, 16)
}

/** The name of a command without its directory, and without `.cmd`. */
export const baseName = (command: string): string => command.slice(command.lastIndexOf("/") + 1).replace(/\.cmd$/i, "")

const limit = <A>(value: A | "none" | undefined): A | undefined => (value === "none" ? undefined : value)

const sharingPolicy = (asked: DecodedPoolOptions["sharing"]): SharingPolicy => {
  if (asked === undefined || asked === "shared") return defaultPool.sharing
  if (asked === "per-project") return { ...defaultPool.sharing, perProject: true }
  if (asked === "per-session") return { policy: asked, min: 1, max: 1 }
  const { replicas } = asked
  return { policy: "replicas", ...(typeof replicas === "number" ? { min: replicas, max: replicas } : replicas) }
}

/** People leave projects open; nobody counts them. */
const projectIdleStop = Duration.minutes(30)

const rootOf = (root: NonNullable<DecodedPoolOptions["roots"]>[number]): Root => {
  if (typeof root === "string") return { uri: root }
  return root.name === undefined ? { uri: root.uri } : { uri: root.uri, name: root.name }
}

const probeSettings = (
  shared: DecodedPoolOptions["probe"],
  own: DecodedPoolOptions["probe"],
  otherwise: DecodedPoolOptions["probe"]
): Probe | undefined => {
  const asked = own ?? shared ?? otherwise
  if (asked === false || asked === "off") return undefined
  const first = Predicate.isObject(own) ? own : {}
  const second = Predicate.isObject(shared) ? shared : {}
  return {
    interval: first.interval ?? second.interval ?? defaultProbe.interval,
    timeout: first.timeout ?? second.timeout ?? defaultProbe.timeout,
    misses: first.misses ?? second.misses ?? defaultProbe.misses
  }
}

/** Of a probe that is on. */
const defaultProbe: Probe = { interval: Duration.seconds(30), timeout: Duration.seconds(5), misses: 3 }

const defaultSessionVariable = "MCP_POOL_SESSION_FILE"

/** What downloads before it runs. */
const downloaders: ReadonlySet<string> = new Set(["npx", "uvx", "pnpm", "bunx", "docker"])

const defaultStartTimeout = (command: string): Duration.Duration =>
  downloaders.has(baseName(command)) ? Duration.seconds(180) : defaultPool.startTimeout
