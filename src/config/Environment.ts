/** The environment of a server's process: little of the pool's own, and what the configuration declares. Pure. */
import { Context } from "effect"
import { variable, type Variables } from "./Interpolation.ts"

/** The pool's own environment: what interpolation reads, and what processes inherit from by name. */
export const HostEnvironment = Context.Reference<Variables>("effect-mcp-pool/config/HostEnvironment", {
  defaultValue: () => process.env
})

/**
 * The complete environment of a process: variables of the allow-list and of `passEnv` as the pool has them, then the
 * `.env` file's, then the declared ones, where null unsets.
 */
export const processEnvironment = (options: {
  readonly host: Variables
  readonly passEnv: ReadonlyArray<string>
  readonly file: Readonly<Record<string, string>>
  readonly declared: ReadonlyMap<string, string | null>
}): Record<string, string> => {
  const environment = new Map<string, string>()
  const passed = new Set(options.passEnv)
  for (const name of Object.keys(options.host)) {
    if (!isInherited(name) && !passed.has(name)) continue
    const value = variable(options.host, name)
    // A value that starts with "()" is a shell's exported function.
    if (value !== undefined && !value.startsWith("()")) environment.set(name, value)
  }
  for (const [name, value] of Object.entries(options.file)) environment.set(name, value)
  for (const [name, value] of options.declared) {
    if (value === null) environment.delete(name)
    else environment.set(name, value)
  }
  return Object.fromEntries(environment)
}

/** Whether processes have the pool's own variable of that name unless the configuration says otherwise. */
export const isInherited = (name: string): boolean =>
  inherited.has(name) || name.startsWith("LC_") || name.startsWith("XDG_") || proxies.has(name)

const inherited: ReadonlySet<string> = new Set([
  "HOME",
  "LOGNAME",
  "PATH",
  "SHELL",
  "TERM",
  "USER",
  "LANG",
  "TMPDIR",
  "SSH_AUTH_SOCK",
  "DISPLAY",
  "WAYLAND_DISPLAY",
  // Where certificates of authorities are.
  "NODE_EXTRA_CA_CERTS",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "REQUESTS_CA_BUNDLE",
  "CURL_CA_BUNDLE",
  "GIT_SSL_CAINFO",
  "AWS_CA_BUNDLE",
  "PIP_CERT",
  "DENO_CERT",
  "NPM_CONFIG_CAFILE",
  "npm_config_cafile"
])

/** In either case: tools differ. */
const proxies: ReadonlySet<string> = new Set(
  ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"].flatMap((name) => [name, name.toLowerCase()])
)
