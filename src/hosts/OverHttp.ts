/**
 * How each host is told of a server over HTTP, and what shows the token for it: as its own documentation has it. The token
 * is a secret, and hosts' files are shared, so an entry refers to it wherever the host can follow a reference. Pure.
 */
import { tokenVariable as variable } from "../config/SelfReference.ts"
import * as Shell from "../Shell.ts"
import type { Entry, HostId } from "./Host.ts"

/** Where a server is. */
export interface Endpoint {
  /** Without a path. */
  readonly url: string
  /** Of the same over a Unix socket, which its mode guards. */
  readonly socket: string
  readonly path: string
}

/** What a host shows with each request. */
export type Token =
  | { readonly _tag: "None" }
  /** Where the token is. */
  | { readonly _tag: "Reference"; readonly file: string }
  /** The token itself. */
  | { readonly _tag: "Literal"; readonly token: string }

/** What a host's entry says of HTTP. */
export interface OverHttp {
  /**
   * How the host comes by the token: from a variable that it is started with, from the file, by a command that the entry
   * names; at the `socket` it needs none, and a host that knows no `reference` needs it in its file.
   */
  readonly way: "variable" | "file" | "command" | "socket" | "literal"
  readonly fresh: (endpoint: Endpoint, token: Token) => Entry
}

/** With `headers`, as most hosts have it: `reference` is how they write what stands in the variable, or in a file. */
const withHeaders = (
  way: OverHttp["way"],
  entry: (url: string) => Entry,
  reference: (file: string) => string = () => `\${${variable}}`
): OverHttp => ({
  way,
  fresh: ({ path, url }, token) => {
    const shown = token._tag === "Literal" ? token.token : token._tag === "None" ? undefined : reference(token.file)
    const headers = shown === undefined ? {} : { headers: { Authorization: `Bearer ${shown}` } }
    return { ...entry(`${url}${path}`), ...headers }
  }
})

const plain = withHeaders("variable", (url) => ({ type: "http", url }))

/** Runs a command for its headers, each time that it connects: https://code.claude.com/docs/en/mcp */
const claudeCode: OverHttp = {
  way: "command",
  fresh: (endpoint, token) =>
    token._tag === "Reference"
      ? { ...plain.fresh(endpoint, { _tag: "None" }), headersHelper: headersCommand(token.file) }
      : plain.fresh(endpoint, token)
}

/** Prints the headers as JSON; of the letters of a token that a daemon made JSON escapes none. */
const headersCommand = (file: string): string => `printf '{"Authorization":"Bearer %s"}' "$(cat ${Shell.quoted(file)})"`

/** Reads HTTP over a Unix socket: https://code.visualstudio.com/docs/copilot/reference/mcp-configuration */
const vscode: OverHttp = {
  way: "socket",
  fresh: ({ path, socket }) => ({
    type: "http",
    url: `unix://${socket.split("/").map(encodeURIComponent).join("/")}#${path}`
  })
}

/** Takes a variable's name, and no header that looks like a token: https://developers.openai.com/codex/mcp */
const codex: OverHttp = {
  way: "variable",
  fresh: ({ path, url }, token) => ({
    url: `${url}${path}`,
    ...(token._tag === "Reference" ? { bearer_token_env_var: variable } : {}),
    ...(token._tag === "Literal" ? { http_headers: { Authorization: `Bearer ${token.token}` } } : {})
  })
}

/** By host; undefined for one whose file has commands alone. */
export const overHttp: Readonly<Record<HostId | "generic", OverHttp | undefined>> = {
  generic: plain,
  "claude-code": claudeCode,
  "claude-desktop": undefined,
  vscode,
  cursor: withHeaders(
    "variable",
    (url) => ({ url }),
    () => `\${env:${variable}}`
  ),
  codex,
  gemini: withHeaders("variable", (httpUrl) => ({ httpUrl })),
  // Else it asks for a login wherever it is refused once.
  opencode: withHeaders(
    "file",
    (url) => ({ type: "remote", url, enabled: true, oauth: false }),
    (file) => `{file:${file}}`
  ),
  zed: withHeaders("literal", (url) => ({ url }))
}
