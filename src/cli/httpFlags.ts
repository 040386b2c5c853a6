/** The flags of `mcp-pool serve` that are about HTTP. */
import { Duration, Effect, Option } from "effect"
import { Flag } from "effect/cli"
import * as Access from "../http/Access.ts"
import * as Address from "../http/Address.ts"
import * as HttpOptions from "../http/HttpOptions.ts"
import { FlagsDisagree } from "./CommandError.ts"
import { durationFlag } from "./root.ts"

/** Where and how HTTP is served. */
export const httpFlags = {
  http: Flag.String("http").pipe(
    Flag.withMetavar("[HOST:]PORT"),
    Flag.withDescription(
      "Serve HTTP too: /mcp, /servers/NAME/mcp, /health, /metrics; on 127.0.0.1 unless another host is given"
    ),
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(Address.parse(text)),
      () => "PORT, HOST:PORT or [IPV6]:PORT"
    ),
    Flag.optional
  ),
  httpAuth: Flag.Literals("http-auth", ["token", "none"]).pipe(
    Flag.withDescription(
      "What HTTP wants to see: the token in <runtimeDir>/http-token (for another, remove the file and start again), " +
        "or on this machine nothing (default: token)"
    ),
    Flag.optional
  ),
  allowedHost: Flag.String("allowed-host").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription("Another name under which HTTP is asked, as host.docker.internal; may be given several times"),
    Flag.filterMap(
      (name) => Option.fromUndefinedOr(Access.hostOf(name)),
      () => "the name of a host"
    ),
    Flag.atLeast(0)
  ),
  httpIdle: durationFlag("http-idle").pipe(
    Flag.withDescription("How long a session over HTTP stays that nobody uses (default: 30min)"),
    Flag.optional
  )
}

/** Whether an address that another program has is waited for. */
export const httpWait = Flag.Boolean("http-wait").pipe(
  Flag.withDescription("Where another program has the address, serve all else and wait for it, as a service does"),
  Flag.withDefault(false)
)

/** What they say, taken together. */
export const httpOptions = Effect.fnUntraced(function* (flags: {
  readonly http: Option.Option<Address.Address>
  readonly httpAuth: Option.Option<"token" | "none">
  readonly allowedHost: ReadonlyArray<string>
  readonly httpIdle: Option.Option<Duration.Duration>
  readonly httpWait: boolean
}): Effect.fn.Return<HttpOptions.HttpOptions | undefined, FlagsDisagree> {
  const options = HttpOptions.ofFlags({
    address: Option.getOrUndefined(flags.http),
    auth: Option.getOrUndefined(flags.httpAuth),
    allowedHosts: flags.allowedHost,
    idle: Option.getOrUndefined(Option.map(flags.httpIdle, Duration.toMillis)),
    waits: flags.httpWait
  })
  return typeof options === "string" ? yield* new FlagsDisagree({ reason: options }) : options
})
