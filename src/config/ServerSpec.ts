/** One configured server: what its process is made of, and how the pool treats it. */
import type { Duration } from "effect"

/** How the pool treats one server: the `pool` key of the configuration, decoded, with the defaults filled in. */
export interface PoolSettings {
  readonly startTimeout: Duration.Duration
  /** Undefined: a session's requests have no deadline of the pool's (hosts cancel). */
  readonly requestTimeout: Duration.Duration | undefined
  readonly queueTimeout: Duration.Duration
  readonly stop: { readonly stdin: Duration.Duration; readonly term: Duration.Duration }
  readonly restart: "on-failure" | "always" | "never"
  readonly budget: {
    readonly max: number
    readonly window: Duration.Duration
    readonly base: Duration.Duration
    readonly cap: Duration.Duration
    readonly resetAfter: Duration.Duration
  }
  readonly logMessages: "owner" | "all" | "none"
  /** Bytes. */
  readonly maxLine: number
  /** Bytes. */
  readonly maxUnread: number
  readonly socket: string | undefined
  /** Permission bits, e.g. 0o660. */
  readonly socketMode: number | undefined
  readonly socketGroup: string | undefined
}

/** A server that can be started. */
export interface ServerSpec {
  /** Its address: any name. */
  readonly name: string
  /** The file it was read from, or "options" for a library's own. */
  readonly source: string
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly cwd: string
  /** The complete environment of its process; values never appear in logs, status or errors. */
  readonly env: Readonly<Record<string, string>>
  /** 16 hex digits of SHA-256 over command, args, cwd and environment: equal fingerprints share one process. */
  readonly fingerprint: string
  readonly pool: PoolSettings
}
