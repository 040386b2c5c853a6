/** The flags of `mcp-pool serve` that are about HTTP. */
import { Duration, Effect, Option } from "effect"
import { Flag } from "effect/cli"
import * as Access from "../http/Access.ts"
import * as Address from "../http/Address.ts"
import { defaultIdle, type HttpOptions } from "../http/HttpOptions.ts"
import { FlagsDisagree } from "./CommandError.ts"
import { durationFlag } from "./root.ts"

/** As the command tree has them. */
export const httpFlags = {
  http: Flag.String("http").pipe(
    Flag.withMetavar("[HOST:]PORT"),
    Flag.withDescription(
      "Serve HTTP too: /servers/NAME/mcp, /health, /metrics; on 127.0.0.1 unless another host is given"
    ),
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(Address.parse(text)),
      () => "PORT, HOST:PORT or [IPV6]:PORT"
    ),
    Flag.optional
  ),
  httpAuth: Flag.Literals("http-auth", ["token", "none"]).pipe(
    Flag.withDescription(
      "What HTTP wants to see: the token in <runtimeDir>/http-token, or on this machine nothing (default: token)"
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

/** What they say, taken together. */
export const httpOptions = Effect.fnUntraced(function* (flags: {
  readonly http: Option.Option<Address.Address>
  readonly httpAuth: Option.Option<"token" | "none">
  readonly allowedHost: ReadonlyArray<string>
  readonly httpIdle: Option.Option<Duration.Duration>
}): Effect.fn.Return<HttpOptions | undefined, FlagsDisagree> {
  const auth = Option.getOrElse(flags.httpAuth, () => "token" as const)
  if (Option.isNone(flags.http)) {
    const isMeant = Option.isSome(flags.httpAuth) || Option.isSome(flags.httpIdle) || flags.allowedHost.length > 0
    if (isMeant) return yield* new FlagsDisagree({ reason: "--http-auth, --http-idle and --allowed-host need --http" })
    return undefined
  }
  const address = flags.http.value
  if (auth === "none" && !Address.isLoopback(address.host)) {
    const reason = `--http-auth none is for an address of this machine alone, and ${address.host} is none`
    return yield* new FlagsDisagree({ reason })
  }
  const idle = Option.match(flags.httpIdle, { onNone: () => defaultIdle, onSome: Duration.toMillis })
  return { address, auth, allowedHosts: flags.allowedHost, idle }
})
