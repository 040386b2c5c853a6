/** The flags of `mcp-pool serve` that are about HTTP. */
import { Duration, Effect, Option } from "effect"
import { CliError, Flag } from "effect/cli"
import * as Access from "../http/Access.ts"
import * as Address from "../http/Address.ts"
import { defaultIdle, type HttpOptions } from "../http/HttpOptions.ts"
import { durationFlag } from "./root.ts"

/** As the command tree has them. */
export const httpFlags = {
  http: Flag.String("http").pipe(
    Flag.withMetavar("[HOST:]PORT"),
    Flag.withDescription(
      "Serve HTTP too: /servers/NAME/mcp, /health, /metrics; on 127.0.0.1 unless another host is given"
    ),
    Flag.optional
  ),
  httpAuth: Flag.Literals("http-auth", ["token", "none"]).pipe(
    Flag.withDescription(
      "What HTTP needs: the token in <runtimeDir>/http-token, or on this machine nothing (default: token)"
    ),
    Flag.optional
  ),
  allowedHost: Flag.String("allowed-host").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription("Another name under which HTTP is asked, as host.docker.internal; may be given several times"),
    Flag.atLeast(0)
  ),
  httpIdle: durationFlag("http-idle").pipe(
    Flag.withDescription("How long a session over HTTP stays that nobody uses (default: 30 min)"),
    Flag.optional
  )
}

/** What they say, taken together. */
export const http = Effect.fnUntraced(function* (flags: {
  readonly http: Option.Option<string>
  readonly httpAuth: Option.Option<"token" | "none">
  readonly allowedHost: ReadonlyArray<string>
  readonly httpIdle: Option.Option<Duration.Duration>
}): Effect.fn.Return<HttpOptions | undefined, CliError.InvalidValue> {
  const invalid = (option: string, value: string, expected: string) =>
    new CliError.InvalidValue({ option, value, expected, kind: "flag" })
  const auth = Option.getOrElse(flags.httpAuth, () => "token" as const)
  if (Option.isNone(flags.http)) {
    if (Option.isSome(flags.httpAuth)) return yield* invalid("http-auth", auth, "--http beside it")
    const [host] = flags.allowedHost
    if (host !== undefined) return yield* invalid("allowed-host", host, "--http beside it")
    return undefined
  }
  const text = flags.http.value
  const address = Address.parse(text)
  if (address === undefined) return yield* invalid("http", text, "PORT, HOST:PORT or [IPV6]:PORT")
  if (auth === "none" && !Address.isLoopback(address.host)) {
    return yield* invalid("http-auth", auth, `an address of this machine alone, not ${address.host}`)
  }
  const allowedHosts: Array<string> = []
  for (const name of flags.allowedHost) {
    const host = Access.hostOf(name)
    if (host === undefined) return yield* invalid("allowed-host", name, "the name of a host")
    allowedHosts.push(host)
  }
  return {
    address,
    auth,
    allowedHosts,
    idle: Option.match(flags.httpIdle, { onNone: () => defaultIdle, onSome: Duration.toMillis })
  }
})
