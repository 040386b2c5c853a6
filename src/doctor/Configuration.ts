/** The files that `serve` would read: whether they can be read, and each server in them. */
import { Effect, Result } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Jsonc from "../config/Jsonc.ts"
import * as PoolConfig from "../config/PoolConfig.ts"
import { projectFiles } from "../hosts/Hosts.ts"
import { explanation } from "../config/SelfReference.ts"
import type { ServerConfigError } from "../PoolError.ts"
import { type Finding, of } from "./Finding.ts"
import * as Shell from "../Shell.ts"

/** What the other checks go on with. */
export interface Configuration {
  readonly findings: ReadonlyArray<Finding>
  /** Those that can be read, by absolute path. */
  readonly files: ReadonlyArray<string>
  /** Whether a file cannot be read, so that there may be more servers. */
  readonly isPartial: boolean
  /** All configured names, also of servers that are not looked at. */
  readonly names: ReadonlyArray<string>
  readonly servers: ReadonlyArray<PoolConfig.ServerEntry>
}

const { ok, problem, warning } = of("configuration")

export const check = Effect.fnUntraced(function* (options: {
  /** Empty: the default file. */
  readonly files: ReadonlyArray<string>
  /** Names of servers; empty: all. */
  readonly only: ReadonlyArray<string>
  readonly hasDaemon: boolean
  readonly commands: Shell.Commands
}): Effect.fn.Return<Configuration> {
  const { commands, only } = options
  const isDefault = options.files.length === 0
  const paths = isDefault ? [yield* PoolConfig.defaultFile] : options.files.map((file) => path.resolve(file))
  const findings: Array<Finding> = []
  const files: Array<string> = []
  for (const file of paths) {
    const read = yield* Effect.result(PoolConfig.loadFiles([file]))
    if (Result.isSuccess(read)) files.push(file)
    else if (isDefault && !fs.existsSync(file)) findings.push(noFile(file, options.hasDaemon, commands))
    else findings.push(badFile(file, read.failure.message))
  }
  const config = yield* PoolConfig.loadFiles(files).pipe(Effect.orElseSucceed(() => ({ servers: [], warnings: [] })))
  for (const note of config.warnings) {
    const file = files.find((file) => note.startsWith(`${file}: `)) ?? files[0] ?? ""
    findings.push(warning(file, note.slice(file.length + 2), null))
  }
  const servers = config.servers.filter(({ name }) => only.length === 0 || only.includes(name))
  for (const entry of servers) if (entry._tag === "Misconfigured") findings.push(yield* badServer(entry.error))
  if (files.length > 0 && config.servers.length === 0) findings.push(noServer(files))
  if (findings.every(({ ok }) => ok !== "problem") && files.length > 0) {
    const count = servers.length === 1 ? "1 server" : `${servers.length} servers`
    findings.push(ok(files.join(", "), `${count} in ${files.join(", ")}`))
  }
  return {
    findings,
    files,
    isPartial: files.length < paths.length,
    names: config.servers.map(({ name }) => name),
    servers
  }
})

const noFile = (file: string, hasDaemon: boolean, commands: Shell.Commands): Finding => {
  if (hasDaemon) {
    return warning(
      file,
      "no such file: the daemon that runs was given others, which are not looked at",
      commands.pool("doctor", "--config", "FILE")
    )
  }
  const found = projectFiles.find((host) => fs.existsSync(host))
  const message =
    found === undefined
      ? "no such file: there is no configuration yet"
      : `no such file: there is no configuration yet, and no --config that names ${found}`
  return problem(file, message, commands.pool("adopt"))
}

/** The message has line and column, where there are any. */
const badFile = (file: string, message: string): Finding => {
  const [, place, reason = ""] = /^(:\d+:\d+)?: ([^]*)$/.exec(message.slice(file.length)) ?? []
  if (place !== undefined) {
    const [, line, column] = place.split(":")
    return problem(file, `line ${line}, column ${column}: ${reason}`, `edit ${file}${place}`)
  }
  const mend =
    reason === "no such file"
      ? "name a file that is there with --config"
      : reason === "permission denied"
        ? Shell.line("chmod", "u+r", file)
        : `edit ${file}`
  return problem(file, reason, mend)
}

const noServer = (files: ReadonlyArray<string>): Finding =>
  problem(
    files.join(", "),
    "no server is configured",
    `add one to ${files[0]}: { "mcpServers": { "NAME": { "command": "COMMAND", "args": [] } } }`
  )

const badServer = Effect.fnUntraced(function* (error: ServerConfigError) {
  const { field, file, reason, server } = error
  const place = yield* placeOf(error)
  const what = field === "" ? reason : `field "${field}": ${reason}`
  return problem(server, `${file}: ${what}`, mendOf(error, place))
})

const mendOf = ({ file, reason, variable }: ServerConfigError, place: string): string => {
  if (variable !== null && reason.startsWith("the input ")) {
    const inputs = path.join(path.dirname(file), "mcp-pool.inputs.json")
    return fs.existsSync(inputs)
      ? `${Shell.line("chmod", "600", inputs)} and have "${variable}": "VALUE" in it`
      : `(umask 077; echo '{ "${variable}": "VALUE" }' > ${Shell.quoted(inputs)})`
  }
  if (variable !== null) {
    return `export ${variable}=VALUE before mcp-pool serve, or write "\${${variable}:-DEFAULT}" at ${place}`
  }
  if (reason === explanation) return `write the server's own command at ${place}, or take the entry out`
  return `edit ${place}`
}

/** Where in its file a field is, or the nearest thing around it. */
const placeOf = Effect.fnUntraced(function* ({ field, file, server }: ServerConfigError) {
  const text = yield* Effect.orElseSucceed(Jsonc.readText(file), () => "")
  const root = Jsonc.parse(file, text)
  if (Result.isFailure(root)) return file
  const sections = Jsonc.properties(root.success).flatMap(([key, section]) =>
    key === "mcpServers" || key === "servers" ? Jsonc.properties(section) : []
  )
  const entry = sections.findLast(([name]) => name === server)?.[1]
  if (entry === undefined) return file
  const keys = field.split(".").map((key) => (/^\d+$/.test(key) ? Number(key) : key))
  const { column, line } = Jsonc.errorAt(file, text, Jsonc.offsetOf(entry, keys), "")
  return `${file}:${line}:${column}`
})
