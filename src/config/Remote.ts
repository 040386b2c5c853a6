/** Where a server runs that has a `url`, and the headers that go there: those of the configuration and no others. Pure. */
import { Result } from "effect"

/** A `url` and its headers, read. */
export interface Remote {
  /** Of `http:` or `https:`, without userinfo and fragment; never to be shown: a path or a query may be a secret. */
  readonly url: string
  /** The Unix socket that it is served at; null where that is TCP. */
  readonly socketPath: string | null
  /** Values never appear in logs, status or errors. */
  readonly headers: Readonly<Record<string, string>>
}

/** Why an entry is refused: the field, and what is wrong with it, without its value. */
export interface RemoteMistake {
  readonly field: string
  readonly reason: string
}

/**
 * Reads what an entry says. `https://user:password@host/` becomes the header that it stands for;
 * `unix:///path/to.sock#/path` is HTTP on a Unix socket, as VS Code writes it.
 */
export const make = (text: string, headers: Readonly<Record<string, string>>): Result.Result<Remote, RemoteMistake> => {
  for (const [name, value] of Object.entries(headers)) {
    const field = `headers.${name}`
    if (!headerName.test(name)) return Result.fail({ field: "headers", reason: "has a name that no header can have" })
    if (ownHeaders.has(name.toLowerCase())) {
      return Result.fail({ field, reason: "is not the configuration's to set: it belongs to the transport" })
    }
    if (!headerValue.test(value)) return Result.fail({ field, reason: "has characters that no header can have" })
  }
  const unix = /^unix:\/\/(\/[^#?]+)(?:#(\/.*))?$/.exec(text)
  const url = URL.parse(unix === null ? text : `http://localhost${unix[2] ?? "/"}`)
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    return Result.fail({ field: "url", reason: "must begin with http://, https:// or unix:///" })
  }
  const basic = basicOf(url)
  if (basic === null) return Result.fail({ field: "url", reason: "has a user or a password that cannot be decoded" })
  url.username = url.password = url.hash = ""
  const isSaid = Object.keys(headers).some((name) => name.toLowerCase() === "authorization")
  return Result.succeed({
    url: url.href,
    socketPath: unix === null ? null : unix[1]!,
    headers: basic === "" || isSaid ? headers : { ...headers, Authorization: basic }
  })
}

/** What of it may be shown: `host:port`, or the name of its socket. */
export const hostOf = ({ socketPath, url }: Remote): string =>
  socketPath === null ? new URL(url).host : socketPath.slice(socketPath.lastIndexOf("/") + 1)

/** Empty where the url has no userinfo, null where that is malformed. */
const basicOf = ({ password, username }: URL): string | null => {
  if (username === "" && password === "") return ""
  try {
    const said = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
    return `Basic ${Buffer.from(said).toString("base64")}`
  } catch {
    return null
  }
}

const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/

/** What the transport says itself. */
const ownHeaders: ReadonlySet<string> = new Set([
  "accept",
  "connection",
  "content-length",
  "content-type",
  "expect",
  "keep-alive",
  "last-event-id",
  "mcp-method",
  "mcp-name",
  "mcp-protocol-version",
  "mcp-session-id",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])
